"""Where a prediction, or a box, could well be otherwise: stretches to look at first.

A score is uncertain where it is within a quarter of the way from τ to 0 or to 1; with one label a frame (τ None), the
best action is where the second best is within `CLOSE`. A box is uncertain where the detector doubts it.

Shapes: T samples, C actions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.viewer.chunks import Columns, packed
from rhas.train.metrics.segments import runs_of

NEAR, CLOSE, SURE = 0.25, 0.2, 0.5
SHORTEST_S = 0.4
WHO = 65535  # in place of an action: the box

Bools = NDArray[np.bool_]


def uncertain(scores: NDArray[np.float32], tau: float | None) -> Bools:
    """[T, C] of scores [T, C]."""
    if tau is not None:
        way = np.where(scores < tau, max(tau, 1e-9), max(1 - tau, 1e-9))
        return np.abs(scores - tau) < NEAR * way
    found = np.zeros(scores.shape, bool)
    if scores.shape[1] > 1 and len(scores):
        second, best = np.partition(scores, -2, axis=1)[:, -2:].T
        close = np.flatnonzero(best - second < CLOSE)
        found[close, scores[close].argmax(1)] = True
    return found


def doubted(status: NDArray[np.uint8], sure: NDArray[np.float32]) -> Bools:
    """[T]"""
    return (status == FrameStatus.DOUBTFUL) | (np.nan_to_num(sure, nan=1.0) < SURE)


def stretches(marks: dict[int, Bools], time_s: NDArray[np.float64], ends_s: NDArray[np.float64]) -> Columns:
    """Runs of at least `SHORTEST_S`, by start. `marks`: [T] for each place of an action, or for `WHO`."""
    found = [
        (float(time_s[start]), float(ends_s[stop - 1]), place)
        for place, mark in marks.items()
        for start, stop in runs_of(mark)
        if ends_s[stop - 1] - time_s[start] >= SHORTEST_S
    ]
    starts, ends, places = zip(*sorted(found), strict=True) if found else ((), (), ())
    return {"action": packed(places, "<u2"), "start": packed(starts, "<f8"), "end": packed(ends, "<f8")}
