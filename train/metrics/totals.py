"""Segment F1 and edit, summed over videos: what the multi-label metrics and the top-1 view share.

In: label sets of one video after the other. Out: the counts so far and the mean edit score.
"""

from __future__ import annotations

import math

from rhas.train.metrics.edit import edit_score, set_sequence
from rhas.train.metrics.frames import NAN
from rhas.train.metrics.segments import SegmentCounts
from rhas.train.metrics.video import Bools


class SequenceTotals:
    """Segment counts, and edit scores of the videos. `ends_early`: see `segments.runs`; for parity only."""

    def __init__(self, ends_early: bool = False) -> None:
        self.segments: SegmentCounts | None = None
        self._ends_early = ends_early
        self._edits: list[float] = []

    def add(self, predicted_NC: Bools, labels_NC: Bools, breaks_N: Bools) -> None:
        counts = SegmentCounts.of(predicted_NC, labels_NC, breaks_N, self._ends_early)
        self.segments = counts if self.segments is None else self.segments + counts
        sequences = set_sequence(predicted_NC, breaks_N), set_sequence(labels_NC, breaks_N)
        self._edits.append(edit_score(*sequences))

    @property
    def edit(self) -> float:
        """Mean over videos, each counting once, percent."""
        # fsum, so that the order of the videos can't show even in the last digit
        return math.fsum(self._edits) / len(self._edits) if self._edits else NAN
