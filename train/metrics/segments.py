"""Segment metrics: maximal runs of each class, matched as MS-TCN does, and F1 at overlaps of 10, 25, 50 %.

In: predicted and true label sets of one video's N frames, and where its clips begin. Out: `SegmentCounts`,
which add up over videos and give F1 in percent. A segment is half-open and never spans a break. What
counts as predicted (a threshold, an argmax) is left to the caller.

Matching (Farha & Gall, "MS-TCN", CVPR 2019, and Lea et al., "Temporal Convolutional Networks", CVPR 2017): each
predicted segment goes to the true segment of its class with the best IoU (ties: the earliest); it is a true
positive if that IoU is at least k and no other has hit the same truth, else a false positive. So the true
positives at k are the distinct truths that some prediction goes to with IoU ≥ k, whatever the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rhas.train.metrics.frames import NAN, percent
from rhas.train.metrics.video import Bools, Floats, Ints

OVERLAPS = (10, 25, 50)  # percent


@dataclass(frozen=True, eq=False)
class Runs:
    """Segments of all classes on one line: frame n of class c stands at c·N + n. Sorted, disjoint, half-open.

    On that line segments of different classes can't overlap, so all classes are matched at once.
    """

    starts_R: Ints
    ends_R: Ints
    classes_R: Ints


def runs(mask_NC: Bools, breaks_N: Bools, ends_early: bool = False) -> Runs:
    """Maximal runs of True in each class, cut where a clip begins.

    `ends_early` takes the last frame from segments that reach the end of the video, as MS-TCN's code does;
    it is for parity with numbers of that code only.
    """
    frames, classes = mask_NC.shape
    on = np.ascontiguousarray(mask_NC.T).ravel()  # [C·N]
    # The first frame of a video is a break, so that runs don't go on from one class to the next either.
    goes_on = np.zeros(on.size + 1, dtype=bool)
    goes_on[1:-1] = on[1:] & on[:-1] & ~np.tile(breaks_N, classes)[1:]
    starts = np.flatnonzero(on & ~goes_on[:-1])
    ends = np.flatnonzero(on & ~goes_on[1:]) + 1
    if ends_early:
        ends[ends % max(frames, 1) == 0] -= 1
    return Runs(starts, ends, starts // max(frames, 1))


def runs_of(mask_N: Bools) -> list[tuple[int, int]]:
    """Maximal runs [start, stop) of True in one series."""
    found = runs(mask_N[:, None], np.zeros(len(mask_N), dtype=bool))
    return list(zip(found.starts_R.tolist(), found.ends_R.tolist(), strict=True))


def best_matches(predicted: Runs, truth: Runs) -> tuple[Ints, Floats]:
    """The true segment that each prediction goes to: its index, and the IoU. Those that overlap none are left out.

    Both sides are sorted and disjoint, so the truths that overlap a prediction are neighbours, and there are
    fewer overlapping pairs than segments.
    """
    first = np.searchsorted(truth.ends_R, predicted.starts_R, side="right")
    behind = np.searchsorted(truth.starts_R, predicted.ends_R, side="left")
    overlapping = np.maximum(behind - first, 0)  # [R]: how many truths
    pairs_before = np.cumsum(overlapping) - overlapping
    p = np.repeat(np.arange(overlapping.size), overlapping)  # [pairs]
    y = np.arange(p.size) + np.repeat(first - pairs_before, overlapping)
    p_start, p_end = predicted.starts_R[p], predicted.ends_R[p]
    y_start, y_end = truth.starts_R[y], truth.ends_R[y]
    common = np.minimum(p_end, y_end) - np.maximum(p_start, y_start)
    iou = common / (np.maximum(p_end, y_end) - np.minimum(p_start, y_start))
    best_first = np.lexsort((-iou, p))  # stable: of equal IoUs the earliest truth stays in front
    best = best_first[pairs_before[overlapping > 0]]
    return y[best], iou[best]


@dataclass(frozen=True, eq=False)
class SegmentCounts:
    """True positives at each overlap, and segments on either side, per class. False ones are the rest.

    Shapes: K overlaps (`OVERLAPS`), C classes.
    """

    hits_KC: Ints
    predicted_C: Ints
    truth_C: Ints

    @classmethod
    def of(
        cls, predicted_NC: Bools, labels_NC: Bools, breaks_N: Bools, ends_early: bool = False
    ) -> SegmentCounts:
        """Counts of one video."""
        classes = labels_NC.shape[1]
        predicted = runs(predicted_NC, breaks_N, ends_early)
        truth = runs(labels_NC, breaks_N, ends_early)
        target, iou = best_matches(predicted, truth)
        hit = [truth.classes_R[np.unique(target[iou >= k / 100])] for k in OVERLAPS]
        return cls(
            np.stack([np.bincount(of_class, minlength=classes) for of_class in hit]),
            np.bincount(predicted.classes_R, minlength=classes),
            np.bincount(truth.classes_R, minlength=classes),
        )

    def __add__(self, other: SegmentCounts) -> SegmentCounts:
        return SegmentCounts(
            self.hits_KC + other.hits_KC,
            self.predicted_C + other.predicted_C,
            self.truth_C + other.truth_C,
        )

    def without(self, classes: Sequence[int]) -> SegmentCounts:
        """Of all other classes."""
        kept = np.delete(np.arange(self.truth_C.size), classes)
        return SegmentCounts(self.hits_KC[:, kept], self.predicted_C[kept], self.truth_C[kept])

    def per_class(self) -> Floats:
        """F1 = 2tp / (2tp + fp + fn), [K, C] in percent; NaN for classes with no segment on either side."""
        segments_C = self.predicted_C + self.truth_C
        f1_KC = 200.0 * self.hits_KC / np.maximum(segments_C, 1)
        return np.where(segments_C > 0, f1_KC, NAN)

    def micro(self) -> dict[int, float]:
        """F1 of the counts pooled over classes; NaN with no segment at all."""
        segments = int(self.predicted_C.sum() + self.truth_C.sum())
        return {k: percent(2 * hits.sum(), segments) for k, hits in zip(OVERLAPS, self.hits_KC, strict=True)}

    def macro(self) -> dict[int, float]:
        """Mean F1 of the classes that occur in the truth; NaN without any.

        A class that is predicted but never true would add a sure 0 however rarely it is predicted; what such
        predictions cost is in `micro`.
        """
        occur_C = self.truth_C > 0
        if not occur_C.any():
            return dict.fromkeys(OVERLAPS, NAN)
        return {k: float(f1[occur_C].mean()) for k, f1 in zip(OVERLAPS, self.per_class(), strict=True)}
