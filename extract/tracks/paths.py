"""How probable it is that a sentence's person is at each sight, given all that is seen before and after it in the shot.

A hidden Markov model for each sentence: in every sample its person is at one of the sights, or at none. They go on to
sights that are near and alike, and go out of sight and come back now and then. Its posteriors (forward and backward
recursions, Rabiner 1989) follow a person both ways in time, over samples in which little speaks for them, and need no
hard links.

Shapes: S samples looked at, O sights, P persons (sentences).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAVE, ENTER = (
    -2.5,
    -2.5,
)  # log probability of going out of sight from one sample to the next, and of coming back
UNLINKED = -6.0  # the least that nearness and likeness say
TEMPER = 1.0  # what a sample's evidence counts


def log_odds(
    worth_OP: NDArray[np.float64], starts: NDArray[np.int64], steps: Sequence[NDArray[np.float64] | None]
) -> NDArray[np.float64]:
    """[O, P] log odds of each person's being at each sight.

    `worth_OP`: the evidence of each sight by itself, in log odds. `starts` [S + 1]: where each sample's sights begin.
    `steps[s]`: [n, m] how well the m sights of sample s + 1 continue the n of sample s, from 0 to 1; None at a cut.
    """
    persons = worth_OP.shape[1]
    found = np.zeros(worth_OP.shape)
    first = 0
    for last in range(len(starts) - 1):
        if last < len(steps) and steps[last] is not None:
            continue
        emitted = [
            np.vstack([TEMPER * worth_OP[starts[s] : starts[s + 1]], np.zeros((1, persons))])
            for s in range(first, last + 1)
        ]
        moves = [_moves(step) for step in steps[first:last] if step is not None]
        for s, odds in enumerate(_one_shot(emitted, moves), start=first):
            found[starts[s] : starts[s + 1]] = odds
        first = last + 1
    return found


def _one_shot(
    emitted: Sequence[NDArray[np.float64]], moves: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """[n, P] for each sample; `emitted` [n + 1, P] and `moves` [n + 1, m + 1] have being out of sight at the end."""
    forward = [emitted[0]]
    for move, emission in zip(moves, emitted[1:], strict=True):
        forward.append(_sum(forward[-1][:, None] + move[..., None], 0) + emission)
        forward[-1] -= forward[-1].max(axis=0)
    backward = np.zeros(emitted[-1].shape)
    odds = []
    for s in range(len(emitted) - 1, -1, -1):
        if s < len(moves):
            backward = _sum(moves[s][..., None] + (emitted[s + 1] + backward)[None], 1)
            backward -= backward.max(axis=0)
        both = forward[s] + backward
        p = np.exp(both - _sum(both, 0))
        odds.append(np.log(np.clip(p[:-1], 1e-9, 1)) - np.log(np.clip(1 - p[:-1], 1e-9, 1)))
    return odds[::-1]


def _moves(step: NDArray[np.float64]) -> NDArray[np.float64]:
    n, m = step.shape
    moves = np.zeros((n + 1, m + 1))
    moves[:n, :m] = np.log(np.maximum(step, np.exp(UNLINKED)))
    moves[:n, m], moves[n, :m] = LEAVE, ENTER - np.log(max(m, 1))
    return moves


def _sum(log_values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """log Σ exp along an axis."""
    top = log_values.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(log_values - top).sum(axis=axis))
