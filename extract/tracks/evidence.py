"""What speaks for a sentence's person being the one of a sight: its scores, weighed against each other.

A sentence's score for a sight speaks for its person; a higher one of another sentence, or for somebody else in the
picture, against. Whose a sight is, and where a person is, may be known already: these are then no rivals.

Shapes: O sights, P persons (sentences).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST = 0.05  # a score that is lower, or not there at all, says no more than this
# Of a logistic regression on movies of the made world's training stream: what a sentence's own score says, that of the
# best other sentence for the same person, and its own score for the best other person in the picture.
OWN, OTHERS, ELSEWHERE = 1.3, -0.55, -0.45
PRIOR = -0.3  # more would find more persons, and more who aren't there


def logit(p: NDArray[np.floating] | float) -> NDArray[np.float64]:
    clipped = np.clip(p, LOWEST, 1 - 1e-3)
    return np.log(clipped / (1 - clipped))


def by_sight(
    score_OP: NDArray[np.float64],
    at_O: NDArray[np.int64],
    threshold: float,
    nothing: float,
    share_OP: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[O, P] the log odds that a sight is of each sentence's person.

    `at_O`: the sample of each sight; `nothing`: the score of a sentence that has no box there; `share_OP`: how much is
    known already of whose each sight is. What is another's is no rival any more, nor is a sentence whose own is there.
    """
    none = float(logit(nothing) - logit(threshold))
    above_OP = logit(np.where(score_OP > 0, score_OP, nothing)) - logit(threshold) - none
    worth_OP = OWN * (above_OP + none) + PRIOR
    starts = np.flatnonzero(np.diff(at_O, prepend=-1))
    for own in np.split(np.arange(len(at_O)), starts[1:]):
        above, share = above_OP[own], share_OP[own]
        elsewhere = np.clip(share.sum(0, keepdims=True) - share, 0, 1)
        others = np.clip(share.sum(1, keepdims=True) - share, 0, 1)
        worth_OP[own] += OTHERS * (none + _best_other(above * (1 - elsewhere), 1))
        worth_OP[own] += ELSEWHERE * (none + _best_other(above * (1 - others), 0))
    return worth_OP


def _best_other(above: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The highest value of the others along an axis; 0 where there are no others."""
    if above.shape[axis] < 2:
        return np.zeros(above.shape)
    top = np.sort(above, axis=axis)
    best, second = np.take(top, [-1], axis=axis), np.take(top, [-2], axis=axis)
    return np.where(above == best, second, best)
