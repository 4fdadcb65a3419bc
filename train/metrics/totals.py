"""Segment F1 and edit, summed over videos: what the multi-label metrics and the top-1 view share.

In: label sets of one video after the other. Out: the counts so far and the mean edit score, and both again without the
classes that are background, as MS-TCN, ASFormer and DiffAct score GTEA: their segments count on neither side, and in
the sequences of label sets a set of nothing else is no element (it ends a run all the same).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rhas.train.metrics.edit import edit_score, set_sequence
from rhas.train.metrics.frames import NAN
from rhas.train.metrics.segments import SegmentCounts
from rhas.train.metrics.video import Bools


@dataclass(frozen=True)
class SequenceScores:
    """F1 by overlap and edit, percent."""

    f1_micro: Mapping[int, float]
    f1_macro: Mapping[int, float]
    edit: float


class SequenceTotals:
    """Segment counts, and edit scores of the videos. `ends_early`: see `segments.runs`; for parity only.

    `background`: class indices.
    """

    def __init__(self, ends_early: bool = False, background: Sequence[int] = ()) -> None:
        self.segments: SegmentCounts | None = None
        self._ends_early, self._background = ends_early, tuple(background)
        self._edits: list[float] = []
        self._edits_without: list[float] = []

    def add(self, predicted_NC: Bools, labels_NC: Bools, breaks_N: Bools) -> None:
        counts = SegmentCounts.of(predicted_NC, labels_NC, breaks_N, self._ends_early)
        self.segments = counts if self.segments is None else self.segments + counts
        sequences = set_sequence(predicted_NC, breaks_N), set_sequence(labels_NC, breaks_N)
        self._edits.append(edit_score(*sequences))
        if self._background:
            nothing_else = self._of_background_alone(labels_NC.shape[1])
            predicted, truth = ([e for e in sequence if e not in nothing_else] for sequence in sequences)
            self._edits_without.append(edit_score(predicted, truth))

    def _of_background_alone(self, classes: int) -> set[bytes]:
        """The sets of background and nothing else, as `set_sequence` has them; the empty set is none."""
        found = {bytes((classes + 7) // 8)}
        for c in self._background:
            one = np.packbits(np.arange(classes) == c)
            found |= {(np.frombuffer(other, np.uint8) | one).tobytes() for other in found}
        return found - {bytes((classes + 7) // 8)}

    @property
    def edit(self) -> float:
        """Mean over videos, each counting once, percent."""
        return _mean(self._edits)

    def without_background(self) -> SequenceScores | None:
        """None if no class is background."""
        if not self._background or self.segments is None:
            return None
        kept = self.segments.without(self._background)
        return SequenceScores(kept.micro(), kept.macro(), _mean(self._edits_without))


def _mean(edits: Sequence[float]) -> float:
    # fsum, so that the order of the videos can't show even in the last digit
    return math.fsum(edits) / len(edits) if edits else NAN
