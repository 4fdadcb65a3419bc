"""Hundreds of damaged and odd movies at the decoder: frames for what is intact, a reason for the rest, no hang."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import odd_movies
import pytest
from hostile_movies import BASES, FPS, FRAMES, GROUP, HEIGHT, Base, Case, bases, damaged
from numbered_movies import number_of

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError, DecoderProcess, Frames, fit_short_side
from rhas.extract.decode.sampling import MAX_FRAMES, MAX_MOVIE_S, sample

DEADLINE_S = 5.0
MEMORY_BYTES = 2 << 30
READ_AT_MOST = 10 * FRAMES  # of movies that claim more frames than they have


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    """One for all movies, as in an extraction."""
    with DecoderProcess(DEADLINE_S, memory_bytes=MEMORY_BYTES) as process:
        yield process


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Base, Path]]:
    folder = tmp_path_factory.mktemp("bases")
    return {base.name: (base, folder / f"{base.name}_spoilt") for base in bases(folder)}


def decode(decoder: DecoderProcess, movie: Path) -> tuple[MovieIndex, Frames] | str:
    """Index and frames, or why there are none. Asserts what must hold for every file."""
    clock = time.monotonic()
    try:
        index = decoder.index(movie)
    except DecodeError as error:
        assert str(error).strip()
        result: tuple[MovieIndex, Frames] | str = str(error)
    else:
        assert index.facts.frames == len(index.start_s) <= MAX_FRAMES and index.end_s <= MAX_MOVIE_S
        assert len(sample(index.start_s, index.end_s, 15.0)) <= MAX_MOVIE_S * 15 + 1
        size = fit_short_side(index.facts.height, index.facts.width, HEIGHT)
        frames = decoder.read(movie, index, np.arange(min(len(index.start_s), READ_AT_MOST)), size)
        assert frames.ok.all() or frames.reason.strip()
        assert not frames.pixels[~frames.ok].any()
        result = index, frames
    # Two requests, each tried twice, each with as much again for the children's start.
    assert time.monotonic() - clock < 8 * DEADLINE_S
    return result


def numbers(index: MovieIndex, frames: Frames) -> dict[int, int]:
    """The numbers that the decoded pictures show, by the numbers that their times say they have."""
    times = np.round(index.start_s[: len(frames.ok)] * FPS).astype(int)
    return {int(times[i]): number_of(frames.pixels[i]) for i in np.flatnonzero(frames.ok)}


@pytest.mark.parametrize("name", [base[0] for base in BASES])
@pytest.mark.parametrize("seed", range(2))
def test_damage_costs_only_what_it_hits(
    decoder: DecoderProcess, spoilt: dict[str, tuple[Base, Path]], name: str, seed: int
) -> None:
    base, folder = spoilt[name]
    outcomes: dict[str, list[bool]] = {}
    wrong = {}
    for case in damaged(base, folder.with_name(f"{folder.name}_{seed}"), seed):
        result = decode(decoder, case.path)
        outcomes.setdefault(case.kind, []).append(not isinstance(result, str))
        if problem := misplaced(case, result):
            wrong[case.name] = problem
    assert not wrong
    # The cases are what they are meant to be: some movies open and some don't.
    assert sum(map(len, outcomes.values())) == 51
    assert all(outcomes["wrong extension"])
    assert any(outcomes["cut off"]) == (name not in ("behind.mp4", "mpeg4.mov"))  # their index is at the end


def misplaced(case: Case, result: tuple[MovieIndex, Frames] | str) -> str:
    """What is wrong with the frames that the damage didn't touch."""
    if not case.intact:
        return ""
    if isinstance(result, str):
        return f"refused: {result}"
    shown = numbers(*result)
    # Where the first frames are lost, time 0 is the first that is left.
    shifts = [0] if case.begins else range(GROUP + 1)
    wrong = [{n: shown.get(n - by) for n in case.intact if shown.get(n - by) != n} for by in shifts]
    return str(min(wrong, key=len) or "")


def test_odd_movies_decode_to_their_last_frame(decoder: DecoderProcess, tmp_path: Path) -> None:
    for name, (movie, count) in odd_movies.healthy(tmp_path).items():
        result = decode(decoder, movie)
        assert not isinstance(result, str), f"{name}: {result}"
        index, frames = result
        assert [number_of(image) for image in frames.pixels[:count]] == list(range(count)), name
        assert frames.ok[:count].all() and not frames.ok[count:].any(), name
        # One frame stands for a claim that can't be true; the time it is shown is that of a frame.
        assert len(index.start_s) <= count + 1 and (
            count == 1 or index.end_s < 1.1 * index.start_s[count - 1] + 0.2
        )


def test_frames_asked_for_in_any_order_are_those_frames(decoder: DecoderProcess, tmp_path: Path) -> None:
    movies = [movie for movie, count in odd_movies.healthy(tmp_path).values() if count == FRAMES]
    for base in bases(tmp_path):
        movies.append(tmp_path / base.name)
    for movie in movies:
        index = decoder.index(movie)
        size = fit_short_side(index.facts.height, index.facts.width, HEIGHT)
        for first, step in ((35, 1), (7, 13), (20, 3), (0, 7), (11, 1), (12, 1), (39, 1)):
            wanted = np.arange(first, FRAMES if step > 1 else first + 1, step)
            frames = decoder.read(movie, index, wanted, size)
            assert [number_of(image) for image in frames.pixels] == wanted.tolist(), movie.name


def test_no_movie_is_refused_with_a_reason_and_stops_nothing(tmp_path: Path) -> None:
    with DecoderProcess(deadline_s=1.5) as decoder:
        check_refusals(decoder, tmp_path)


def check_refusals(decoder: DecoderProcess, tmp_path: Path) -> None:
    reasons = {}
    for name, movie in odd_movies.refused(tmp_path).items():
        result = decode(decoder, movie)
        assert isinstance(result, str), f"{name} gave frames"
        assert str(tmp_path) not in result, "a reason names no folder"
        reasons[name] = result
    assert reasons["fifo"] == reasons["link to a device"] == reasons["directory"] == "not a regular file"
    assert reasons["links in a circle"] == "Too many levels of symbolic links"
    assert reasons["name too long"] == "File name too long"
    # A decoder that really hangs: it waits for a writer of the FIFO, and is killed.
    assert reasons["playlist naming a fifo"] == "decoder made no progress for 1.5 s and was killed"
    assert not any(isinstance(decode(decoder, tmp_path / "whole.mkv"), str) for _ in range(2))


def test_huge_pictures_decode_or_are_recorded(decoder: DecoderProcess, tmp_path: Path) -> None:
    movies = odd_movies.bombs(tmp_path)
    decoded = set()
    for name, (movie, side) in movies.items():
        result = decode(decoder, movie)
        if not isinstance(result, str):
            index, frames = result
            assert (index.facts.height, index.facts.width, frames.ok.sum()) == (side, side, 1)
            decoded.add(name)
    assert decoded == {"png 16000, 1 bit", "png 16000, 8 bit"}
    healthy = odd_movies.write(tmp_path / "movie.mp4", "libx264")
    with DecoderProcess(DEADLINE_S, memory_bytes=700 << 20) as small:  # too little for 256 million pixels
        result = decode(small, movies["png 16000, 8 bit"][0])
        assert isinstance(result, str) or not result[1].ok.any()
        result = decode(small, healthy)
        assert not isinstance(result, str) and result[1].ok.all()


def test_a_strip_takes_no_more_memory_than_a_movie() -> None:
    height, width = fit_short_side(40, 65_000, 480)
    assert height * width <= 16 * 480 * 480 and (height, width) == (5, 7680)


def test_a_damaged_time_stamp_does_not_stretch_the_movie(decoder: DecoderProcess, tmp_path: Path) -> None:
    movie = odd_movies.write(tmp_path / "movie.ts", "libx264")
    data = bytearray(movie.read_bytes())
    # The seventh picture's PES header (ISO/IEC 13818-1): its time stamp's highest bit is 13 hours.
    at = [i for i in range(len(data)) if data[i : i + 4] == b"\x00\x00\x01\xe0"][20] + 9
    data[at] ^= 0b1000
    movie.write_bytes(data)
    result = decode(decoder, movie)
    assert not isinstance(result, str)
    index, frames = result
    assert index.end_s < 2
    shown = numbers(index, frames)
    assert len(shown) >= FRAMES - 1 and all(number == time for time, number in shown.items())


def test_time_stamps_of_years_are_refused(decoder: DecoderProcess, tmp_path: Path) -> None:
    movie = odd_movies.write(tmp_path / "movie.mp4", "libx264", options={"bf": "0"})
    data = bytearray(movie.read_bytes().replace(b"edts", b"free"))  # no edit list, which would cut it
    at = data.index(b"stts") + 16  # how long each frame lasts (ISO/IEC 14496-12)
    data[at : at + 4] = b"\x7f" * 4
    movie.write_bytes(data)
    result = decode(decoder, movie)
    assert isinstance(result, str) and "are believed" in result
