"""The top-1 view: argmax sequences scored the usual single-label way, as a bridge to older tables.

In: one predicted and one true class per frame. Out: `Top1Scores`: MoF, F1@{10,25,50} and edit, in percent.

Where a frame has several labels, the lowest class index stands for them; where it has none, it has no single
label either, and is left out like an N/A frame. MoF is therefore stricter than ACC, which takes any label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rhas.train.metrics.frames import percent
from rhas.train.metrics.totals import SequenceScores, SequenceTotals
from rhas.train.metrics.video import Bools, Frames, Ints


@dataclass(frozen=True)
class Top1Scores:
    """Single-label scores in percent: mean over frames, F1 by overlap (pooled over classes and videos), edit."""

    mof: float
    f1: Mapping[int, float]
    edit: float
    without_background: SequenceScores | None = None


class Top1:
    """Single-label scores, video after video. `ends_early`: see `segments.runs`; for parity only."""

    def __init__(self, classes: int, ends_early: bool = False, background: Sequence[int] = ()) -> None:
        self._classes = classes
        self._totals = SequenceTotals(ends_early, background)
        self._correct = 0
        self._frames = 0

    def add(self, predicted_N: Ints, truth_N: Ints, breaks_N: Bools) -> None:
        one_hot = np.eye(self._classes, dtype=bool)
        self._totals.add(one_hot[predicted_N], one_hot[truth_N], breaks_N)
        self._correct += int(np.count_nonzero(predicted_N == truth_N))
        self._frames += len(truth_N)

    def add_labelled(self, frames: Frames) -> None:
        """Adds a video's labelled frames (`Video.labelled`), one class on either side."""
        self.add(frames.scores_NC.argmax(axis=1), frames.labels_NC.argmax(axis=1), frames.breaks_N)

    def scores(self) -> Top1Scores:
        if self._totals.segments is None:
            raise ValueError("got no video: expected at least one")
        return Top1Scores(
            percent(self._correct, self._frames), self._totals.segments.micro(), self._totals.edit,
            self._totals.without_background(),
        )  # fmt: skip
