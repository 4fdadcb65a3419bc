"""Frames by their index: the same bits in any order, few openings, and never a wrong picture."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import FFmpegError
from numbered_movies import number_of, regular, write_movie

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.reader import FrameReader
from tests.truth import numbers

TRUTH = Path(__file__).parents[2] / "truth"
SHOWN = json.loads((TRUTH / "shown.json").read_text())
KINDS = ["h264_refresh.mp4", "hevc_open.ts", "h264_open.mkv", "mpeg4_packed.avi", "joined.ts", "mpeg2_open.vob",
         "vp8_hidden.webm", "h264_pyramid.mkv", "trimmed_open.mp4", "paff.ts", "theora.ogv"]  # fmt: skip


@cache
def indexed(name: str) -> MovieIndex:
    return build_index(path_of(name))


def path_of(name: str) -> str:
    return str(TRUTH / "movies" / name)


def truth(name: str) -> list[int]:
    return [number for _, number in SHOWN[name]["frames"]]


def read(reader: FrameReader, indices: list[int]) -> dict[int, np.ndarray | str]:
    """The picture of each index, or why there is none."""
    size = reader.index.facts.height, reader.index.facts.width
    came = list(reader.read(indices, size))
    assert sorted(at for at, *_ in came) == list(range(len(indices)))
    assert all((image is None) == bool(reason) for _, image, reason in came)
    return {indices[at]: reason if image is None else image for at, image, reason in came}


def seen(reader: FrameReader, indices: list[int]) -> dict[int, int | str | None]:
    """The number in the picture of each index, or why there is none."""
    return {
        index: found if isinstance(found, str) else numbers.read(found)
        for index, found in read(reader, indices).items()
    }


class Openings:
    """Counts how often a movie is opened; `wrap` may put something between container and reader."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Any], Any] = lambda opened: opened):
        self.count = 0
        own = av.open

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return wrap(own(*arguments, **options))

        monkeypatch.setattr(av, "open", counted)


# --- any order


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_the_same_bits_in_whatever_order_they_are_read(name: str) -> None:
    shown, index = truth(name), indexed(name)
    count = len(shown)
    forward = read(FrameReader(path_of(name), index), list(range(count)))
    assert [numbers.read(np.asarray(image)) for image in forward.values()] == shown
    draw = random.Random(name)
    lots = [sorted(draw.sample(range(count), draw.randint(1, 6))) for _ in range(8)]
    back = [[number] for number in range(count - 1, -1, -17)]
    for order in (lots, back):
        reader = FrameReader(path_of(name), index)
        for lot in order:
            for number, image in read(reader, lot).items():
                np.testing.assert_array_equal(image, forward[number], f"{number} in {lot}")


def test_a_reading_that_is_left_in_the_middle_harms_no_later_one() -> None:
    name = "h264_pyramid.mkv"
    reader, shown = FrameReader(path_of(name), indexed(name)), truth(name)
    for first in (10, 40, 30, 90):
        reading = reader.read([first, first + 20], (96, 192))
        at, image, _ = next(reading)
        assert at == 0 and image is not None and numbers.read(image) == shown[first]
        del reading  # a generator in CPython ends with its last reference
        assert seen(reader, [first + 1, first + 5]) == {
            first + 1: shown[first + 1],
            first + 5: shown[first + 5],
        }


# --- openings


@pytest.mark.parametrize("name", ["h264_open.mkv", "mpeg2_open.vob", "h264_refresh.mp4", "mpeg4_packed.avi"])
def test_reading_on_opens_nothing_and_reading_back_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = FrameReader(path_of(name), indexed(name))
    opened = Openings(monkeypatch)
    for window in ([0, 5, 40], [41, 42], [43, 60, 61], [62], [118]):
        read(reader, window)
        assert opened.count == 1
    read(reader, [50])
    assert opened.count > 1


def test_what_is_far_ahead_is_reached_by_a_seek_and_not_by_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[object] = []

    class Counting:
        def __init__(self, container: Any):
            self.container = container

        def __enter__(self) -> Counting:
            return self

        def __exit__(self, *_: object) -> None:
            self.container.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def demux(self, stream: Any) -> Iterator[av.Packet]:
            for packet in self.container.demux(stream):
                fed.append(packet)
                yield packet

    reader = FrameReader(path_of("fps_1.mp4"), indexed("fps_1.mp4"))  # 96 s, with entries 24 s apart
    opened = Openings(monkeypatch, Counting)
    assert seen(reader, [0]) == {0: 0} and opened.count == 1
    assert seen(reader, [75]) == {75: 75} and opened.count == 2
    assert len(fed) < 48
    assert seen(reader, [90]) == {90: 90} and opened.count == 2  # in the same group


# --- seeks that land elsewhere


class Elsewhere:
    """A container whose seeks end far from where they should, or fail."""

    def __init__(self, container: Any, draw: random.Random, size: int):
        self.container, self.draw, self.size = container, draw, size

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def seek(self, offset: int, **how: Any) -> None:
        if (chance := self.draw.random()) < 0.2:
            raise FFmpegError(1, "no seek")
        if "stream" in how:
            far = round(self.draw.uniform(-3, 3) / float(how["stream"].time_base))
            self.container.seek(offset + far, **how)
        elif chance < 0.6:
            self.container.seek(self.draw.randrange(self.size), **how)
        else:
            self.container.seek(188 * self.draw.randrange(self.size // 188), **how)


@pytest.mark.parametrize(
    "name", ["h264_closed.mp4", "h264_open.mkv", "h264_refresh.mp4", "hevc_open.ts", "h264_refresh.ts", "joined.ts",
             "m2ts.m2ts", "vp8_hidden.webm", "mpeg4_packed.avi", "theora.ogv"],
)  # fmt: skip
def test_a_seek_that_lands_elsewhere_shows_no_other_picture(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, index, draw = truth(name), indexed(name), random.Random(name)
    opened = Openings(monkeypatch, lambda found: Elsewhere(found, draw, index.facts.bytes))
    reader = FrameReader(path_of(name), index)
    for _ in range(25):
        number = draw.randrange(len(shown))
        assert seen(reader, [number]) == {number: shown[number]}  # from the beginning, if nothing else helps
    assert opened.count > 5


# --- indexes that are wrong

Change = Callable[[MovieIndex, np.random.Generator], MovieIndex]
# Where to seek: what comes then is known by its place, so it does no harm.
WRONG_STAMPS: dict[str, Change] = {
    "shifted": lambda i, draw: replace(i, entry_stamp=i.entry_stamp + draw.integers(-200_000, 200_000)),
    "shuffled": lambda i, draw: replace(i, entry_stamp=draw.permutation(i.entry_stamp)),
    "random": lambda i, draw: replace(i, entry_stamp=draw.integers(-(10**9), 10**9, len(i.entry_stamp))),
}
# Where packets lie: what isn't there isn't known, and what is out of its order isn't shown.
WRONG_PLACES: dict[str, Change] = {
    "places shifted": lambda i, draw: replace(i, pos=i.pos + draw.integers(1, 500)),
    "places shuffled": lambda i, draw: replace(i, pos=draw.permutation(i.pos)),
    "sizes shuffled": lambda i, draw: replace(i, size=draw.permutation(i.size)),
    "places random": lambda i, draw: replace(i, pos=draw.integers(0, i.facts.bytes, len(i.pos))),
    "places moved by some rows": lambda i, draw: replace(i, pos=np.roll(i.pos, draw.integers(1, 30))),
}
MOVIES = [
    "h264_closed.mp4",
    "h264_open.mkv",
    "h264_refresh.mp4",
    "hevc_open.ts",
    "joined.ts",
    "vp9_hidden.webm",
]


@pytest.mark.parametrize("how", WRONG_STAMPS)
@pytest.mark.parametrize("name", MOVIES)
def test_wrong_stamps_to_seek_cost_time_and_no_picture(name: str, how: str) -> None:
    shown, draw = truth(name), np.random.default_rng(len(name))
    for _ in range(3):
        reader = FrameReader(path_of(name), WRONG_STAMPS[how](indexed(name), draw))
        for number in draw.integers(0, len(shown), 4).tolist():
            assert seen(reader, [number]) == {number: shown[number]}


@pytest.mark.parametrize("how", WRONG_PLACES)
@pytest.mark.parametrize("name", MOVIES)
def test_wrong_places_of_packets_give_reasons_and_no_other_picture(name: str, how: str) -> None:
    shown, draw = truth(name), np.random.default_rng(len(name))
    for _ in range(3):
        reader = FrameReader(path_of(name), WRONG_PLACES[how](indexed(name), draw))
        for number in draw.integers(0, len(shown), 4).tolist():
            (found,) = seen(reader, [number]).values()
            assert found == shown[number] or isinstance(found, str), (number, found)


# --- damage

# Movie: from which number on pictures are whole again, by the last number at which the damage may be.
GROUPS = {20: 24, 44: 48, 68: 72, 92: 96, 119: 120}
WHOLE_AGAIN = {
    **dict.fromkeys(["h264_closed.mp4", "h264_open.mp4", "hevc_open.mp4", "hevc_closed.mp4", "fragmented.mp4"], GROUPS),
    "mpeg4_b.mp4": GROUPS,
    "h264_refresh.mp4": {44: 66, 92: 114, 119: 120},
}  # fmt: skip
REORDERED = 4  # frames at most that are shown before one that is stored before them


@pytest.mark.parametrize("name", WHOLE_AGAIN)
def test_damage_costs_what_refers_to_it_and_nothing_before_or_behind(name: str, tmp_path: Path) -> None:
    whole, shown, draw = indexed(name), truth(name), random.Random(name)
    data = Path(path_of(name)).read_bytes()
    row_of = dict(zip(shown, whole.row.tolist(), strict=True))
    hit = draw.sample(
        [n for n in range(6, 118) if any(last - 14 < n <= last for last in WHOLE_AGAIN[name])], 4
    )
    for damaged in (*hit, 48):  # 48 is an entry
        pos, size = int(whole.pos[row_of[damaged]]), int(whole.size[row_of[damaged]])
        path = tmp_path / name
        path.write_bytes(data[:pos] + b"\xff" * size + data[pos + size :])
        index = build_index(str(path))
        assert len(index.start_s) == len(shown)
        again = next(number for last, number in WHOLE_AGAIN[name].items() if damaged <= last)
        reader = FrameReader(str(path), index)
        found = {
            n: what
            for at in range(0, len(shown), 16)
            for n, what in seen(reader, shown[at : at + 16]).items()
        }
        sound = [n for n in shown if n < damaged - REORDERED or n >= again]
        assert [found[n] for n in sound] == sound, damaged
        assert found[damaged] == f"frame {damaged}: damaged movie data"
        assert all(f == n or isinstance(f, str) for n, f in found.items()), damaged


@pytest.mark.parametrize("damaged", [40, 47, 58])
def test_damage_that_decodes_all_the_same_costs_its_frame_and_those_that_refer_to_it(
    damaged: int, tmp_path: Path
) -> None:
    """A slice whose end is zeroed: the decoder says so only of the frame, fills it up from others, and goes on."""
    path = write_movie(tmp_path / "m.mp4", regular(90), b_frames=0)
    index, data = build_index(str(path)), bytearray(path.read_bytes())
    pos, size = int(index.pos[damaged]), int(index.size[damaged])
    data[pos + size // 2 : pos + size] = bytes(size - size // 2)
    path.write_bytes(data)
    found = read(FrameReader(str(path), build_index(str(path))), list(range(90)))
    lost = [number for number, image in sorted(found.items()) if isinstance(image, str)]
    assert lost == list(range(damaged, 60))  # keys are 30 apart
    assert all(number_of(np.asarray(found[n])) == n for n in range(90) if n not in lost)


def test_frames_that_are_promised_and_not_there_have_a_reason(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.mp4", regular(60), b_frames=0, index_in_front=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader = FrameReader(str(path), build_index(str(path)))
    found = read(reader, list(range(60)))
    there = [number for number, image in found.items() if not isinstance(image, str)]
    assert there == list(range(len(there))) and 15 < len(there) < 45
    assert [number_of(np.asarray(found[number])) for number in there] == there
    assert found[59] == "frame 59: the movie ends before this frame"
