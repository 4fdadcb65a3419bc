"""Windows of persons: a `Stretch` is where a person is promised in a film, a `Span` a window cut from it.

Both say where features lie; none are read here. Samples of a film are counted from its first, as in its shard.

Shapes: T frames of the stretch or span, C classes, E size of the text embedding.
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
class Stretch:
    """The samples [first, first + T) of a film, in which one person was promised."""

    movie_id: str
    person_id: str
    reference: str
    split: str | None  # as the manifest has it
    film: str  # one for all movie_ids that show the same film
    shard: Path
    first: int
    time_s: NDArray[np.float64]  # [T] seconds of film time
    status: NDArray[np.uint8]  # [T] FrameStatus
    intervals: tuple[Interval, ...]
    text: NDArray[np.float32] | None  # [E]


@dataclass(frozen=True, eq=False)
class Span:
    """The samples [start, stop) of a stretch's film."""

    stretch: Stretch
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.stretch.movie_id}/{self.stretch.person_id}/{self.start}"

    @property
    def place(self) -> tuple[str, str, int]:
        """What spans are sorted by: film, person, start."""
        return self.stretch.movie_id, self.stretch.person_id, self.start

    @property
    def status(self) -> NDArray[np.uint8]:
        """[T] FrameStatus."""
        return self.stretch.status[self._own]

    @property
    def time_s(self) -> NDArray[np.float64]:
        """[T] seconds of film time."""
        return self.stretch.time_s[self._own]

    def labels(self, vocabulary: Vocabulary) -> tuple[Bools, Bools]:
        """(labels [T, C], valid [T]); valid where the person is promised and not marked N/A."""
        labels_TC, present_T = rasterise(self.stretch.intervals, self.time_s, vocabulary)
        return labels_TC, present_T & (self.status != FrameStatus.OUTSIDE)

    @property
    def _own(self) -> slice:
        return slice(self.start - self.stretch.first, self.stop - self.stretch.first)


def cut(stretches: Sequence[Stretch], window: int, min_frames: int = 1) -> tuple[list[Span], int]:
    """Windows of `window` frames, sorted by film, person and start, and how many frames were left out.

    Only a stretch's last window may be shorter; it is left out below `min_frames`.
    """
    spans, left_out = [], 0
    for stretch in stretches:
        end = stretch.first + len(stretch.status)
        for start in range(stretch.first, end, window):
            span = Span(stretch, start, min(start + window, end))
            if span.stop - span.start >= min_frames:
                spans.append(span)
            else:
                left_out += span.stop - span.start
    return sorted(spans, key=lambda span: span.place), left_out
