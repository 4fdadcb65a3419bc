"""Which sentence gets which sight, over the whole movie.

What speaks for a sentence at each sight (`evidence`) is followed along its person's path through every shot (`paths`).
Persons look alike in all shots: so what is known of a sentence in some tells, by likeness, who it is in others. Each
round knows better whose the others are. In the end, in every sample each person seen goes to one sentence at most, so
that the sum of log odds is the highest.

Shapes: S samples looked at, O sights, P persons (sentences), F numbers of colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rhas.extract.tracks import evidence, linking, paths
from rhas.extract.tracks.looks import unlike
from rhas.extract.tracks.sights import Sights
from rhas.extract.tracks.tracklets import tied

ROUNDS = 4
LIKENESS = 0.8  # how much likeness counts beside evidence
# Log odds that sights in different shots are of one person, by the difference of their colours; measured on movies of
# the made world's training stream, like the constants of `evidence`.
SAME, EACH = 7.0, 0.41
FEW = 5.0  # sights: of a look that so many made, half is known


def worths(
    sights: Sights, colours_OF: NDArray[np.float64], time_S: NDArray[np.float64], shot_S: NDArray[np.int64],
    threshold: float, nothing: float,
) -> NDArray[np.float64]:  # fmt: skip
    """[O, P] the log odds that each sight is of each sentence's person, from evidence, paths and likeness together.

    `nothing`: the score of a sentence that has no box at a sight.
    """
    starts = np.searchsorted(sights.at, np.arange(len(sights.sample) + 1))
    steps = [
        None
        if shot_S[s] != shot_S[s + 1]
        else _step(sights, colours_OF, starts, s, time_S[s + 1] - time_S[s])
        for s in range(len(starts) - 2)
    ]
    share_OP = np.zeros(sights.score.shape)
    worth_OP = share_OP
    for _ in range(ROUNDS):
        evidence_OP = evidence.by_sight(sights.score, sights.at, threshold, nothing, share_OP)
        evidence_OP += _likeness(colours_OF, share_OP, shot_S[sights.at])
        worth_OP = paths.log_odds(evidence_OP, starts, steps)
        share_OP = 1 / (1 + np.exp(-worth_OP))
    return worth_OP


def _step(
    sights: Sights, colours_OF: NDArray[np.float64], starts: NDArray[np.int64], s: int, gone_s: float
) -> NDArray[np.float64]:
    """[n, m] how well the sights of the next sample continue those of sample s."""
    own, following = slice(starts[s], starts[s + 1]), slice(starts[s + 1], starts[s + 2])
    step = linking.continues(
        sights.box[own], colours_OF[own], sights.box[following], colours_OF[following], gone_s
    )
    return step if sights.track is None else tied(step, sights.track[own], sights.track[following])


def _likeness(
    colours_OF: NDArray[np.float64], share_OP: NDArray[np.float64], shot_O: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[O, P] what the look of a sentence's person in all other shots says of a sight."""
    shots = int(shot_O.max(initial=-1)) + 1
    known_KP, colours_KPF = (
        np.zeros((shots, share_OP.shape[1])),
        np.zeros((shots, share_OP.shape[1], colours_OF.shape[1])),
    )
    np.add.at(known_KP, shot_O, share_OP)
    np.add.at(colours_KPF, shot_O, share_OP[..., None] * colours_OF[:, None])
    others_KP = known_KP.sum(0) - known_KP
    look_KPF = (colours_KPF.sum(0) - colours_KPF) / np.maximum(others_KP, 1e-9)[..., None]
    odds_OP = np.clip(SAME - EACH * unlike(colours_OF[:, None], look_KPF[shot_O]), -SAME, SAME)
    return LIKENESS * odds_OP * (others_KP / (others_KP + FEW))[shot_O]


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
