"""Constraint-aware decoding: the most probable labels of a whole video, given scores and how long actions last.

In: scores of one person, and an `ActionPrior` of the training labels. Out: label sets or, where a frame has one label,
classes. Segments are those of a semi-Markov model (Rabiner, "A tutorial on hidden Markov models", 1989, Section
IV.D), whose best path is found exactly, by dynamic programming (Viterbi).

- Several labels a frame: each class by itself is on or off. A frame that is on is worth `evidence` times what its
  score's log-odds are above those of τ, one that is off nothing; segments last as the prior says, and begin at its
  rate.
- One label a frame: a frame is worth `evidence` times its class's log-score; segments last as the prior says, and
  follow each other as it says.

Frames of one video say the same again and again, as independent ones would not, so `evidence` is rather below 1: how
much is for the validation split to say. A segment that begins with the video, or ends with it, lasts *at least* what
is seen of it.

A step for each frame, in which all classes and thresholds are done side by side: linear in T, times C² where classes
follow each other.

Shapes: T frames, C classes, G thresholds, R rows (G·C, or C) that are decoded side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rhas.train.metrics.durations import NEVER, ActionPrior, Doubles
from rhas.train.metrics.video import Bools, Floats, Ints

ROOM = 4_000_000  # scores that are decoded at a time: 130 MB
FAINTEST = 1e-4  # scores are kept this far from 0 and 1, or a single frame could outweigh all others


def decoded_sets(
    scores_TC: Floats, taus: Sequence[float | Sequence[float]], prior: ActionPrior, evidence: float
) -> Bools:
    """The best labels at each threshold [G, T, C], each class by itself. A threshold may be one for each class [C]."""
    frames, classes = scores_TC.shape
    if frames == 0:
        return np.zeros((len(taus), 0, classes), dtype=bool)
    if len(taus) > 1 and scores_TC.size * len(taus) > ROOM:
        return np.concatenate([decoded_sets(scores_TC, [tau], prior, evidence) for tau in taus])
    taus_GC = np.stack([np.broadcast_to(own, classes) for own in taus])
    worth_TGC = evidence * (_log_odds(scores_TC)[:, None] - _log_odds(taus_GC))
    onsets_R, begins_R = np.tile(prior.onsets, len(taus)), np.tile(prior.begins, len(taus))
    starts_R, stays_off_R = np.log(onsets_R), np.log1p(-onsets_R)
    off_R = np.log1p(-begins_R)  # the best path to a frame that is off
    from_on_TR = np.zeros((frames, len(off_R)), dtype=bool)  # whether the frame before it is on

    def begin(t: int, ends_R: Doubles) -> Doubles:
        nonlocal off_R
        if t == 0:
            return np.log(begins_R)
        before_R, stays_R = off_R, off_R + stays_off_R
        np.greater(ends_R, stays_R, out=from_on_TR[t])
        off_R = np.maximum(ends_R, stays_R)
        return before_R + starts_R

    lengths_TR, last_R = _forward(worth_TGC.reshape(frames, -1), prior, begin)
    on_TR = np.zeros(from_on_TR.shape, dtype=bool)
    left_R = np.where(
        last_R > off_R, lengths_TR[-1], 0
    )  # frames of a segment that are still to come, backwards
    for t in range(frames - 1, -1, -1):
        np.greater(left_R, 0, out=on_TR[t])
        ends_before_R = from_on_TR[t] & ~on_TR[t]  # in no frame 0
        left_R = np.where(ends_before_R, lengths_TR[t - 1], np.maximum(left_R - 1, 0))
    return on_TR.reshape(frames, len(taus), classes).transpose(1, 0, 2)


def decoded_classes(scores_TC: Floats, prior: ActionPrior, evidence: float) -> Ints:
    """The best class of each frame [T]."""
    frames, classes = scores_TC.shape
    best_T = np.zeros(frames, dtype=np.int64)
    if frames == 0 or classes == 1:
        return best_T
    worth_TC = evidence * np.log(np.maximum(scores_TC, FAINTEST, dtype=float))
    first_C, follows_CC = prior.following()
    before_TC = np.zeros((frames, classes), dtype=np.int64)  # of the segment that ends before a frame

    def begin(t: int, ends_C: Doubles) -> Doubles:
        if t == 0:
            return first_C
        paths_CC = ends_C[:, None] + follows_CC
        paths_CC.argmax(0, out=before_TC[t])
        return paths_CC.max(0)

    lengths_TC, last_C = _forward(worth_TC, prior, begin)
    end, c = frames, int(last_C.argmax())
    while end > 0:
        start = end - int(lengths_TC[end - 1, c])
        best_T[start:end] = c
        end, c = start, int(before_TC[start, c])
    return best_T


def _forward(
    worth_TR: Doubles, prior: ActionPrior, begin: Callable[[int, Doubles], Doubles]
) -> tuple[NDArray[np.int32], Doubles]:
    """The length of the best segment that ends with each frame [T, R], and what the best paths to the last frame's
    are worth.

    `begin(t, ends)` gives what a path [R] is worth to which a segment that begins in frame t is added, from those of
    which one ends with frame t − 1. Rows are of the prior's classes, again and again.
    """
    frames, rows = worth_TR.shape
    times = rows // len(prior.means)
    ends_R, goes_on_R = (np.tile(values_C, times) for values_C in prior.ends())
    least_R, each_R = np.tile(prior.shortest, times), np.arange(rows)
    total_TR = np.cumsum(worth_TR, axis=0)
    # What a path is worth that a segment is added to, less all frames before it: by the segment's first frame. What
    # began
    # with the video, in row 0, is kept apart: it may have lasted for long before.
    begun_TR, total_R = np.full((frames, rows), -np.inf), np.zeros(rows)
    long_R, since_R = (
        np.full(rows, -np.inf),
        np.zeros(rows, dtype=np.int64),
    )  # the best of those that may end now
    lengths_TR = np.ones((frames, rows), dtype=np.int32)
    path_R = np.full(rows, -NEVER * frames)
    first_R = begin(0, path_R)
    for t in range(frames):
        if t:
            begun_TR[t] = begin(t, path_R) - total_R
        total_R = total_TR[t]
        start_R = t + 1 - least_R
        now_R = np.where(start_R > 0, begun_TR[np.maximum(start_R, 0), each_R], -np.inf)
        long_R = long_R + goes_on_R
        later_R = now_R > long_R
        long_R, since_R = np.where(later_R, now_R, long_R), np.where(later_R, start_R, since_R)
        whole_R = first_R + goes_on_R * np.maximum(t + 1 - least_R, 0)
        inner_R, inner_since_R = long_R + ends_R, since_R
        if t == frames - 1:  # it may go on beyond the video's end, and be as short as it likes here
            recent_R = np.where(np.arange(frames)[:, None] > start_R, begun_TR, -np.inf)
            latest_R = recent_R.argmax(0)
            shorter_R = recent_R[latest_R, each_R] > long_R
            inner_R = np.where(shorter_R, recent_R[latest_R, each_R], long_R)
            inner_since_R = np.where(shorter_R, latest_R, since_R)
        begins_R = whole_R >= inner_R
        lengths_TR[t] = t + 1 - np.where(begins_R, 0, inner_since_R)
        path_R = np.where(begins_R, whole_R, inner_R) + total_R
    return lengths_TR, path_R


def _log_odds(scores: Floats) -> Doubles:
    kept = np.clip(scores, FAINTEST, 1 - FAINTEST, dtype=float)
    return np.log(kept) - np.log1p(-kept)
