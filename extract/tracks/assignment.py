"""Which sentence gets which track, over the whole movie.

Tracks of one person in several shots look alike. So what speaks for a sentence in one track speaks, by likeness, for
it in others: each sentence gets a look of its own, the mean of the tracks that are its (by evidence at first, then by
both), and tracks are worth more to sentences whose look is theirs. In every sample each person seen goes to one
sentence at most, so that the sum of worths is the highest.

Shapes: O sights, K tracks, P persons (sentences), F numbers of colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rhas.extract.tracks import evidence
from rhas.extract.tracks.looks import unlike
from rhas.extract.tracks.sights import Sights

ROUNDS = 4
LIKENESS = 0.5  # how much likeness counts beside evidence
# Log odds that two tracks in different shots are of one person, by the difference of their colours; measured on movies
# of the made world's training stream, like the constants of `evidence`.
SAME, EACH = 7.0, 0.41
MOMENT = 0.15  # what one sight's own score counts beside its track's
FEW = 5.0  # sights: of a look that so many made, half is known


def worths(
    sights: Sights,
    colours_O: NDArray[np.float64],
    track_O: NDArray[np.int64],
    threshold: float,
    nothing: float,
) -> NDArray[np.float64]:
    """[O, P] what each sight is worth to each sentence: evidence of its track, likeness, and a little of its own."""
    count_K = np.bincount(track_O)
    colours_K = np.zeros((len(count_K), colours_O.shape[1]))
    np.add.at(colours_K, track_O, colours_O)
    colours_K /= np.maximum(count_K, 1)[:, None]
    share_KP = np.zeros((len(count_K), sights.score.shape[1]))
    for _ in range(ROUNDS):
        moment_OP = evidence.by_sight(sights.score, sights.at, threshold, nothing, share_KP[track_O])
        worth_KP = evidence.by_track(moment_OP, track_O) + _likeness(colours_K, share_KP * count_K[:, None])
        share_KP = _shares(worth_KP)
    return worth_KP[track_O] + MOMENT * moment_OP


def _likeness(colours_K: NDArray[np.float64], sights_KP: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, P] what the look of all other tracks of a sentence says of this one. `sights_KP`: how many sights are
    whose."""
    total_PF = np.einsum("kp,kf->pf", sights_KP, colours_K)
    others_KP = sights_KP.sum(0) - sights_KP
    look_KPF = (total_PF[None] - sights_KP[..., None] * colours_K[:, None]) / np.maximum(others_KP, 1e-9)[
        ..., None
    ]
    odds_KP = np.clip(SAME - EACH * unlike(colours_K[:, None], look_KPF), -SAME, SAME)
    return LIKENESS * odds_KP * others_KP / (others_KP + FEW)


def _shares(worth_KP: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, P] how much of a track is each sentence's: softmax beside nobody's, which is worth 0."""
    top = np.maximum(0.0, worth_KP.max(axis=1, keepdims=True, initial=0.0))
    exp = np.exp(worth_KP - top)
    return exp / (exp.sum(axis=1, keepdims=True) + np.exp(-top))


def given_out(sights: Sights, worth_OP: NDArray[np.float64], persons: int) -> NDArray[np.int64]:
    """[S, P] the sight that each person gets in each sample, or -1. None is given that is worth less than nobody, 0."""
    from scipy.optimize import linear_sum_assignment

    chosen = np.full((len(sights.sample), persons), -1)
    starts = np.searchsorted(sights.at, np.arange(len(sights.sample) + 1))
    for at in range(len(sights.sample)):
        first, stop = starts[at], starts[at + 1]
        worth = worth_OP[first:stop]
        if not worth.size or worth.max() <= 0:
            continue
        for o, p in zip(*linear_sum_assignment(worth.clip(min=0), maximize=True), strict=True):
            if worth[o, p] > 0:
                chosen[at, p] = first + o
    return chosen
