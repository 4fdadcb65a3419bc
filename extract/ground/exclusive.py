"""One box, one person: who of several sentences gets which box of a frame.

Each sentence is scored by itself, so that one person may answer to two of them, better to the one that is meant. In:
the candidates of every sentence. Out: at most one of them for each, so that no two are of the same person.

Shapes: P sentences, O persons seen, N boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.ground.boxes import Candidates, pairwise_iou


def assign(
    found: Sequence[Candidates], threshold: float, same_iou: float, taken: Sequence[NDArray[np.float32]] = ()
) -> list[int | None]:
    """For each sentence the index of its candidate, or None: the assignment with the highest sum of scores.

    Boxes are of the same person if they overlap the best-scored of them by more than `same_iou`. A score counts by what
    it is above `threshold`, at which it is worth as little as no box; lower ones aren't chosen. Boxes that overlap one
    that is `taken` are not to be had.
    """
    chosen: list[int | None] = [None] * len(found)
    who_N = np.repeat(np.arange(len(found)), [len(candidates) for candidates in found])
    place_N = np.concatenate([np.arange(len(candidates)) for candidates in found]) if found else who_N
    if not len(who_N):
        return chosen
    boxes_N4 = torch.cat([candidates.boxes for candidates in found])
    worth_N = torch.cat([candidates.scores for candidates in found]).double().numpy() - threshold
    worth_N[overlapping(boxes_N4, taken, same_iou) | (worth_N < 0)] = -1.0
    if (worth_N < 0).all():
        return chosen
    person_N = persons_seen(boxes_N4, worth_N, same_iou)
    worth_PO = np.full((len(found), person_N.max() + 1), -1.0)
    best_PO = np.full(worth_PO.shape, -1)
    for n in np.flatnonzero(worth_N >= 0)[::-1]:  # of equal ones the first, which is the best of its sentence
        at = who_N[n], person_N[n]
        if worth_N[n] >= worth_PO[at]:
            worth_PO[at], best_PO[at] = worth_N[n], place_N[n]
    for sentence, person in _matched(worth_PO):
        if best_PO[sentence, person] >= 0:
            chosen[sentence] = int(best_PO[sentence, person])
    return chosen


def _matched(worth_PO: NDArray[np.float64]) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    return list(zip(*linear_sum_assignment(worth_PO.clip(min=0), maximize=True), strict=True))


def persons_seen(boxes_N4: torch.Tensor, worth_N: NDArray[np.floating], same_iou: float) -> NDArray[np.int64]:
    """Whom each box shows: boxes join the best one that they overlap, best first."""
    same_NN = (pairwise_iou(boxes_N4) > same_iou).numpy()
    person_N = np.full(len(worth_N), -1)
    heads: list[int] = []
    for n in np.argsort(-worth_N, kind="stable"):
        joined = next((o for o, head in enumerate(heads) if same_NN[head, n]), len(heads))
        if joined == len(heads):
            heads.append(n)
        person_N[n] = joined
    return person_N


def overlapping(
    boxes_N4: torch.Tensor, others: Sequence[NDArray[np.float32]], same_iou: float
) -> NDArray[np.bool_]:
    """[N] which boxes overlap any of some others by more than `same_iou`."""
    if not others:
        return np.zeros(len(boxes_N4), bool)
    both = torch.cat([boxes_N4, torch.from_numpy(np.stack(others))])
    return (pairwise_iou(both)[: len(boxes_N4), len(boxes_N4) :] > same_iou).any(1).numpy()
