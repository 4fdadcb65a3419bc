"""Frame metrics: how well single frames are scored, whatever the order they come in.

In: scores or label sets and truth of the N frames that count, video after video. Out: average precision per
class, ACC, and the mean agreement of label sets. All in percent; NaN where there is nothing to measure.
Segments and order are left to `segments` and `edit`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rhas.train.metrics.video import Bools, Floats

NAN = float("nan")


def percent(part: float, whole: float) -> float:
    """100·part/whole; NaN if there is no whole."""
    return 100.0 * float(part) / float(whole) if whole else NAN


def average_precision(scores_N: Floats, positive_N: Bools) -> float:
    """Average precision of one class, in percent; NaN without a positive.

    Σₙ (Rₙ - Rₙ₋₁)·Pₙ over the distinct scores n, from high to low: tied frames are retrieved together, so the
    order that they stand in can't matter, and nothing is interpolated (the definition of scikit-learn's
    `average_precision_score`). The same number is the mean over positives of the precision among frames
    that score at least as much, which needs no ranks, only two sorted lists.
    """
    ranked = np.sort(scores_N)
    positives = np.sort(scores_N[positive_N])
    if not positives.size:
        return NAN
    retrieved = ranked.size - np.searchsorted(ranked, positives, side="left")
    correct = positives.size - np.searchsorted(positives, positives, side="left")
    return 100.0 * float(np.mean(correct / retrieved))


class FrameAP:
    """Average precision per class over all videos.

    Ranks go across videos, so this alone has to keep scores: 4 bytes (float32, so what differs by less is a
    tie) and a bit for each valid frame and class, 1.7 MB for 3000 frames of 137 classes.
    """

    def __init__(self) -> None:
        self._scores: list[Floats] = []  # [C, N] each: a class is then one contiguous clip
        self._labels: list[np.ndarray] = []  # [C, N/8] each, bits packed
        self._frames: list[int] = []

    def add(self, scores_NC: Floats, labels_NC: Bools) -> None:
        self._scores.append(np.ascontiguousarray(scores_NC.T, dtype=np.float32))
        self._labels.append(np.packbits(labels_NC.T, axis=1))
        self._frames.append(len(scores_NC))

    def per_class(self) -> Floats:
        """[C] percent; NaN for classes without a positive."""
        return np.array([self._of_class(c) for c in range(len(self._scores[0]))])

    def _of_class(self, c: int) -> float:
        bits = zip(self._labels, self._frames, strict=True)
        positive = [np.unpackbits(packed[c], count=frames) for packed, frames in bits]
        return average_precision(
            np.concatenate([scores[c] for scores in self._scores]),
            np.concatenate(positive).astype(bool),
        )


@dataclass
class Accuracy:
    """ACC: labelled frames whose highest-scored class (ties: lowest index) is one of their labels."""

    correct: int = 0
    labelled: int = 0

    def add(self, scores_NC: Floats, labels_NC: Bools) -> None:
        top_N = scores_NC.argmax(axis=1)
        self.correct += int(np.count_nonzero(labels_NC[np.arange(len(top_N)), top_N]))
        self.labelled += int(np.count_nonzero(labels_NC.any(axis=1)))

    @property
    def percent(self) -> float:
        return percent(self.correct, self.labelled)


@dataclass
class SetAgreement:
    """Agreement of the predicted with the true label set, frame by frame; empty against empty is perfect."""

    frames: int = 0
    _exact: int = 0
    _jaccard: list[float] = field(default_factory=list)
    _f1: list[float] = field(default_factory=list)

    def add(self, predicted_NC: Bools, labels_NC: Bools) -> None:
        common_N = np.count_nonzero(predicted_NC & labels_NC, axis=1)
        sizes_N = np.count_nonzero(predicted_NC, axis=1) + np.count_nonzero(labels_NC, axis=1)
        union_N = sizes_N - common_N
        empty_N = sizes_N == 0
        self.frames += len(sizes_N)
        self._exact += int(np.count_nonzero(common_N == union_N))
        self._jaccard.append(float(np.sum(np.where(empty_N, 1.0, common_N / np.maximum(union_N, 1)))))
        self._f1.append(float(np.sum(np.where(empty_N, 1.0, 2 * common_N / np.maximum(sizes_N, 1)))))

    @property
    def exact(self) -> float:
        """Frames with P = Y, percent."""
        return percent(self._exact, self.frames)

    @property
    def jaccard(self) -> float:
        """Mean |P∩Y| / |P∪Y|, percent."""
        return percent(sum(self._jaccard), self.frames)

    @property
    def f1(self) -> float:
        """Mean 2|P∩Y| / (|P|+|Y|), percent."""
        return percent(sum(self._f1), self.frames)
