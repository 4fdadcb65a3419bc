"""Labels to frames: intervals in seconds of movie time, sampled at the frames' time stamps.

In: one person's intervals. Out: a label set per frame, and whether the person is there; and how many frames of each
class there are. Which frames are promised or have features is left to `samples`.

Shapes: T frames, C classes, I intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def rasterise(
    intervals: Sequence[Interval], time_s: NDArray[np.float64], vocabulary: Vocabulary
) -> tuple[Bools, Bools]:
    """(labels [T, C], present [T]) of a person at the rising times `time_s` [T], in seconds.

    A frame is in [start_s, end_s) or not; actions may overlap. `N/A` is no label: it says that the person is
    not present. A frame in no interval has the person doing nothing that the vocabulary names. Raises
    InputError for an action outside the vocabulary.
    """
    labels_TC = np.zeros((len(time_s), len(vocabulary)), dtype=bool)
    present_T = np.ones(len(time_s), dtype=bool)
    bounds_I2 = np.searchsorted(time_s, [(i.start_s, i.end_s) for i in intervals], side="left")
    for interval, (start, stop) in zip(intervals, bounds_I2.tolist(), strict=True):
        if interval.action == ABSENT:
            present_T[start:stop] = False
        elif interval.action in vocabulary:
            labels_TC[start:stop, vocabulary.index(interval.action)] = True
        else:
            expected = f"one of the {len(vocabulary)} actions, or {ABSENT}"
            raise InputError(Problem("labels", expected, column="action", value=interval.action))
    return labels_TC, present_T


def class_counts(labels: Iterable[tuple[Bools, Bools]]) -> Ints:
    """[C]: valid frames of each class, from (labels [T, C], valid [T]) of each training video.

    Raises `InputError` if nothing is labelled.
    """
    counts = sum((np.count_nonzero(labels_TC[valid_T], axis=0) for labels_TC, valid_T in labels), start=0)
    if not np.any(counts):
        raise InputError(Problem("training labels", "at least one labelled frame"))
    return np.asarray(counts, dtype=np.int64)
