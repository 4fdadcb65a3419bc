"""Windows of persons: a `Clip` is where a person is promised in a movie, a `Window` a window cut from it.

Both say where features lie; none are read here. Samples of a movie are counted from its first, as in its shard.

Shapes: T frames of the clip or window, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class Window:
    """The samples [start, stop) of a clip's movie."""

    clip: Clip
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.clip.movie_id}/{self.clip.person_id}/{self.start}"

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


def cut(clips: Sequence[Clip], frames: int, min_frames: int = 1) -> tuple[list[Window], int]:
    """Windows of `frames` frames, sorted by movie, person and start, and how many frames were left out.

    Only a clip's last window may be shorter; it is left out below `min_frames`.
    """
    windows, left_out = [], 0
    for clip in clips:
        end = clip.first + len(clip.status)
        for start in range(clip.first, end, frames):
            window = Window(clip, start, min(start + frames, end))
            if window.stop - window.start >= min_frames:
                windows.append(window)
            else:
                left_out += window.stop - window.start
    return sorted(windows, key=lambda window: window.place), left_out
