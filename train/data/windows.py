"""Windows of persons: a `Clip` is where a person is promised in a movie, a `Window` a window cut from it.

Both say where features lie; none are read here. Samples of a movie are counted from its first, as in its shard.

Shapes: T frames of the clip or window, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.names import file_name
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.rasterise import Bools, rasterise


@dataclass(frozen=True, eq=False)
class Clip:
    """The samples [first, first + T) of a movie, in which one person was promised."""

    movie_id: str
    person_id: str
    reference: str
    split: str | None  # as the manifest has it
    movie: str  # one for all movie_ids that show the same movie
    shard: Path
    first: int
    time_s: NDArray[np.float64]  # [T] seconds of movie time
    status: NDArray[np.uint8]  # [T] FrameStatus
    intervals: Sequence[Interval]
    grounded: bool = (
        False  # whether a detector, or somebody's boxes, said where the person is; else nobody looked
    )

    @property
    def name(self) -> str:
        """MOVIE/PERSON, for messages and files; each id as `rhas.manifests.common.names` writes it."""
        return f"{file_name(self.movie_id)}/{file_name(self.person_id)}"


@dataclass(frozen=True, eq=False)
class Window:
    """The samples [start, stop) of a clip's movie."""

    clip: Clip
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.clip.name}/{self.start}"

    @property
    def place(self) -> tuple[str, str, int]:
        """What windows are sorted by: movie, person, start."""
        return self.clip.movie_id, self.clip.person_id, self.start

    @property
    def status(self) -> NDArray[np.uint8]:
        """[T] FrameStatus."""
        return self.clip.status[self._own]

    @property
    def time_s(self) -> NDArray[np.float64]:
        """[T] seconds of movie time."""
        return self.clip.time_s[self._own]

    def labels(self, vocabulary: Vocabulary) -> tuple[Bools, Bools]:
        """(labels [T, C], valid [T]); valid where the person is promised and not marked N/A."""
        labels_TC, present_T = rasterise(self.clip.intervals, self.time_s, vocabulary)
        return labels_TC, present_T & (self.status != FrameStatus.OUTSIDE)

    @property
    def _own(self) -> slice:
        return slice(self.start - self.clip.first, self.stop - self.clip.first)


def cut(
    clips: Sequence[Clip], frames: int, min_frames: int = 1, overlap: float = 0.0
) -> tuple[list[Window], int]:
    """Windows of at most `frames` frames, sorted by movie, person and start, and how many frames were left out.

    A longer clip is cut in as few parts as will do, equal within one frame; neighbours share `overlap` of their
    length. Clips below `min_frames` are left out.
    """
    windows, left_out = [], 0
    for clip in clips:
        if len(clip.status) < min_frames:
            left_out += len(clip.status)
        else:
            windows += [
                Window(clip, clip.first + a, clip.first + b)
                for a, b in parts(len(clip.status), frames, overlap)
            ]
    return sorted(windows, key=lambda window: window.place), left_out


def parts(length: int, most: int, overlap: float) -> list[tuple[int, int]]:
    """[start, stop) of parts of at most `most` that cover `length`, neighbours sharing `overlap` of themselves."""
    if length <= most:
        return [(0, length)]
    apart = 1 - Fraction(overlap).limit_denominator(
        1000
    )  # exact, so that without overlap each ends where the next begins
    count = 1 + ceil((length - most) / (most * apart))
    part = length / (1 + (count - 1) * apart)
    return [(floor(i * apart * part), floor(i * apart * part + part)) for i in range(count)]


def disjoint(windows: Sequence[Window], frames: int) -> list[Window]:
    """The same frames, each once: clips whose windows overlap are cut anew, without."""
    by_clip: dict[Clip, list[Window]] = {}
    for window in windows:
        by_clip.setdefault(window.clip, []).append(window)
    apart = []
    for clip, own in by_clip.items():
        overlapping = any(after.start < before.stop for before, after in pairwise(own))
        apart += cut([clip], frames)[0] if overlapping else own
    return apart
