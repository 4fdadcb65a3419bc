"""Every kind of movie, at every rate, read in any order: the pictures that ffmpeg shows, and the same bits each time.

The movies and what ffmpeg shows of them are committed; `make.py` made both, with FFmpeg's command.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.process import DecoderProcess
from rhas.extract.decode.sampling import ROUNDING_S, sample
from tests.truth import numbers

HERE = Path(__file__).parent
SHOWN = json.loads((HERE / "shown.json").read_text())
CASES = Path(__file__).parents[3] / "shared" / "cases"
RATES = (None, 15.0, 5.0, 1.0)
WINDOW = 16
TOLERANCE_S = 2e-3
# Program streams have few stamps, and FFmpeg's versions guess that of the last frame differently.
LAST_FRAME_S = {"mpeg2_pulldown.mpg": 0.02}


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess() as process:
        yield process


@pytest.fixture(scope="module")
def decord() -> Iterator[DecoderProcess]:
    """Reads by decord what decord shows exactly."""
    with DecoderProcess(decord=True) as process:
        yield process


def wrong_pictures(
    decoders: Sequence[DecoderProcess],
    path: Path,
    index: MovieIndex,
    shown: list,
    read: Callable[[np.ndarray], int | None] = numbers.read,
    uncertain_s: float = 0,
) -> list[tuple]:
    """What differs from `shown`, [time, number] of each frame, over rates, orders and decoders, and between them."""
    times = np.array([time_s for time_s, *_ in shown])
    last_s = np.inf if uncertain_s == 0 else times[-1] - uncertain_s
    size = index.facts.height, index.facts.width
    wrong: list[tuple] = []
    seen: dict[int, bytes] = {}
    for decoder, fps in product(decoders, RATES):
        grid = sample(index.start_s, index.end_s, fps)
        for start in _orders(len(grid)):
            window = slice(start, start + WINDOW)
            frames, back = np.unique(grid.source_frame[window], return_inverse=True)
            got = decoder.read(path, index, frames, size)
            for time_s, at in zip(grid.time_s[window], back, strict=True):
                if fps and time_s > last_s:
                    continue
                # A stamp may be rounded to the container's unit, and two frames may have the same.
                last = int(np.searchsorted(times, time_s + ROUNDING_S, side="right")) - 1
                expected = shown[last if fps else int(frames[at])][1]
                number = read(got.pixels[at]) if got.ok[at] else got.reason
                bits = got.pixels[at].tobytes()
                if number != expected or seen.setdefault(int(frames[at]), bits) != bits:
                    wrong.append((fps, start, round(float(time_s), 3), expected, number))
    return wrong


def _orders(samples: int) -> list[int]:
    """Where windows begin: forward, shuffled, and from the middle."""
    starts = list(range(0, samples, WINDOW))
    half = len(starts) // 2
    return [*starts, *random.Random(samples).sample(starts, len(starts)), *starts[half:], *starts[:half]]


@pytest.mark.parametrize("name", SHOWN)
def test_every_sample_is_what_ffmpeg_shows(
    decoder: DecoderProcess, decord: DecoderProcess, name: str
) -> None:
    path, truth = HERE / "movies" / name, SHOWN[name]
    index = decoder.index(path)
    facts = index.facts
    assert (facts.height, facts.width) == (truth["height"], truth["width"])
    times = np.array([time_s for time_s, _ in truth["frames"]])
    assert len(index.start_s) == len(times)
    np.testing.assert_allclose(index.start_s[:-1], times[:-1], atol=TOLERANCE_S)
    assert abs(index.start_s[-1] - times[-1]) < LAST_FRAME_S.get(name, TOLERANCE_S)
    decoders = [decoder, decord] if index.for_decord else [decoder]
    assert wrong_pictures(decoders, path, index, truth["frames"], uncertain_s=LAST_FRAME_S.get(name, 0)) == []
    first = decoder.read(path, index, np.zeros(1, np.int64), (facts.height, facts.width)).pixels[0]
    assert numbers.corners(first) == truth["corners"]


def test_there_are_as_many_kinds_as_the_readme_says() -> None:
    indexes = [build_index(str(HERE / "movies" / name)) for name in SHOWN]
    assert (len(SHOWN), len({index.facts.codec for index in indexes})) == (118, 20)
    assert sum(index.for_decord for index in indexes) >= 25  # and are read by it, above
    readme = (HERE.parents[1] / "README.md").read_text()
    assert "118 movies" in readme and "20 codecs" in readme


@pytest.mark.parametrize(
    "name",
    [
        "untagged_hd.mp4",
        "tagged_709_sd.mp4",
        "full_range.mp4",
        "h264_rgb.mkv",
        "hevc_10bit.mp4",
        "pq.mp4",
        "sar.ts",
    ],
)
def test_colours_are_those_that_were_drawn(decoder: DecoderProcess, name: str) -> None:
    """Whatever the matrix and range; untagged HD, which ffmpeg's command itself takes for BT.601, by BT.709."""
    index = decoder.index(HERE / "movies" / name)
    size = index.facts.height, index.facts.width
    picture = decoder.read(HERE / "movies" / name, index, np.zeros(1, np.int64), size).pixels[0]
    for letter, colour in numbers.corner_colours(picture).items():
        np.testing.assert_allclose(colour, numbers.COLOURS[letter], atol=9, err_msg=letter)


def _number(picture: np.ndarray) -> int:
    """The number in the pictures of the shared cases: twelve blocks, low bit left, when upright or mirrored alike."""
    height, width = picture.shape[:2]
    block = width / 12
    rows = slice(int(height * 0.4), int(height * 0.6))
    lit = [picture[rows, int((b + 0.3) * block) : int((b + 0.7) * block)].mean() > 128 for b in range(12)]
    return sum(int(bit) << b for b, bit in enumerate(lit))


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
@pytest.mark.parametrize(
    "path", [p for p in sorted(CASES.glob("*/*")) if (p.parent / "shown.json").exists() and p.suffix in
             (".mp4", ".ts", ".avi", ".webm", ".mkv")], ids=lambda path: f"{path.parent.name}/{path.name}",
)  # fmt: skip
def test_the_shared_cases(decoder: DecoderProcess, path: Path) -> None:
    shown = json.loads((path.parent / "shown.json").read_text())[path.name]
    index = decoder.index(path)
    assert len(index.start_s) == len(shown)
    assert wrong_pictures([decoder], path, index, shown, _number) == []
    first = decoder.read(path, index, np.zeros(1, np.int64), (96, 192)).pixels[0]
    assert numbers.corners(first) == shown[0][2]
