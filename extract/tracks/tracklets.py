"""What a tracker of another package followed within windows, in the linking of a movie.

Its boxes in the samples that were looked at become sights: those that the detector has as well are known to be of one
tracklet, others are added, with no sentence that speaks for them. Two sights of one tracklet continue each other, and
between them its boxes say where a person is. A tracklet never goes over the border of a window, and what it says over
a cut isn't used: there is no step over cuts.

Shapes: O sights, P persons (sentences), T samples of the movie, S of them looked at, N boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rhas.extract.ground.calibration import overlap
from rhas.extract.tracks.interpolation import Path
from rhas.extract.tracks.sights import Sights
from rhas.manifests.shards.seen import Seen

SAME_IOU = 0.5  # the tracker's box and the detector's that overlap by more, and best, are of the same person


@dataclass(frozen=True)
class Tracklet:
    """One of a window that begins at sample `start`: `box` [n, 4], `score` [n], NaN where it isn't."""

    start: int
    box: NDArray[np.float32]
    score: NDArray[np.float32]


def with_tracklets(sights: Sights, seen: Mapping[int, Seen]) -> tuple[Sights, list[Tracklet]]:
    """The sights as they are and none, where no tracker was at work."""
    windows = [seen[index] for index in sorted(seen)]
    if not any("tracked" in window.arrays for window in windows):
        return sights, []
    tracklets: list[Tracklet] = []
    track_O = np.full(len(sights), -1)
    added: list[tuple[int, int, NDArray[np.uint8]]] = []  # place in S, tracklet, picture
    place = 0
    for window in windows:
        first = len(tracklets)
        boxes, scores, looks = (window.arrays[name] for name in ("tracked", "tracked_score", "tracked_look"))
        tracklets += [Tracklet(window.start, box, score) for box, score in zip(boxes, scores, strict=True)]
        for s, sample in enumerate(window.arrays["sample"]):
            there = np.flatnonzero(np.isfinite(scores[:, sample - window.start]))
            box_K4 = boxes[there, sample - window.start].astype(np.float64)
            own = np.arange(*np.searchsorted(sights.at, [place, place + 1]))
            mine, left = _matched(sights.box[own], box_K4)
            track_O[own] = np.where(mine >= 0, first + there[mine], -1) if len(there) else -1
            added += [(place, int(first + there[k]), looks[there[k], s]) for k in left]
            place += 1
    return _joined(sights, track_O, tracklets, added), tracklets


def _matched(box_O4: NDArray[np.float64], box_K4: NDArray[np.float64]) -> tuple[NDArray[np.int64], list[int]]:
    """[O] which of the tracker's boxes shows the same person as each sight, or -1; and those that show none of them."""
    from scipy.optimize import linear_sum_assignment

    same_OK = _overlaps(box_O4, box_K4)
    mine = np.full(len(box_O4), -1)
    for o, k in zip(*linear_sum_assignment(same_OK, maximize=True), strict=True):
        if same_OK[o, k] > SAME_IOU:
            mine[o] = k
    left: list[int] = []
    for k in range(len(box_K4)):
        others = np.concatenate([box_O4, box_K4[left]])
        if k not in mine and not (_overlaps(others, box_K4[k : k + 1]) > SAME_IOU).any():
            left.append(k)
    return mine, left


def _overlaps(one_N4: NDArray[np.float64], other_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, M] intersection over union."""
    n, m = len(one_N4), len(other_M4)
    return overlap(np.repeat(one_N4, m, axis=0), np.tile(other_M4, (n, 1))).reshape(n, m)


def _joined(
    sights: Sights,
    track_O: NDArray[np.int64],
    tracklets: Sequence[Tracklet],
    added: Sequence[tuple[int, int, NDArray[np.uint8]]],
) -> Sights:
    if not added:
        return replace(sights, track=track_O)
    places, tracks = (np.array([one[i] for one in added]) for i in (0, 1))
    box = np.array([tracklets[k].box[sights.sample[s] - tracklets[k].start] for s, k, _ in added], np.float64)
    look = np.stack([one[2] for one in added])
    score = np.zeros((len(added), sights.score.shape[1]))
    own = np.full((*score.shape, 4), np.nan)
    order = np.argsort(np.concatenate([sights.at, places]), kind="stable")
    return Sights(
        sights.sample,
        np.concatenate([sights.at, places])[order],
        np.concatenate([sights.box, box])[order],
        np.concatenate([sights.score, score])[order],
        np.concatenate([sights.own, own])[order],
        np.concatenate([sights.look, look])[order] if len(sights) else look[order],
        np.concatenate([track_O, tracks])[order],
    )


def tied(
    step_KN: NDArray[np.float64], from_K: NDArray[np.int64], to_N: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How well sights continue others, where the tracklets of both are known: 1 in one tracklet, and then nothing else
    continues it, nor is continued by it."""
    same_KN = (from_K[:, None] == to_N[None]) & (from_K[:, None] >= 0)
    taken_KN = same_KN.any(axis=1, keepdims=True) | same_KN.any(axis=0, keepdims=True)
    return np.where(same_KN, 1.0, np.where(taken_KN, 0.0, step_KN))


def follow(
    box_T4: NDArray[np.float64], score_T: NDArray[np.float64], path: Path, sights: Sights,
    chosen_S: NDArray[np.int64], tracklets: Sequence[Tracklet],
) -> None:  # fmt: skip
    """Puts the tracker's boxes between sights of one tracklet and behind the last one, in place; scores count by how
    sure it is."""
    assert sights.track is not None
    for t in np.flatnonzero(path.left >= 0):
        left, right = path.left[t], path.right[t]
        k = sights.track[chosen_S[left]]
        # Before the first sight of a shot the tracker may still follow whom it saw before the cut.
        if (
            k < 0
            or k != sights.track[chosen_S[right]]
            or t <= sights.sample[left]
            or t == sights.sample[right]
        ):
            continue
        own = tracklets[k]
        if 0 <= t - own.start < len(own.score) and np.isfinite(own.score[t - own.start]):
            box_T4[t] = own.box[t - own.start]
            score_T[t] *= own.score[t - own.start]
