"""Posteriors of paths against those of all paths one by one, in scenes small enough to write them all down."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from rhas.extract.tracks import paths
from rhas.extract.tracks.paths import ENTER, LEAVE, TEMPER, UNLINKED, log_odds


def by_hand(worth: list[np.ndarray], steps: list[np.ndarray]) -> list[np.ndarray]:
    """The probability of each sight: the share of all paths that go through it, each weighed by itself."""
    share = [np.zeros(len(own)) for own in worth]
    total = 0.0
    for path in product(*[range(len(own) + 1) for own in worth]):
        weight = 0.0
        for s, i in enumerate(path):
            weight += TEMPER * worth[s][i] if i < len(worth[s]) else 0.0
            if s + 1 < len(path):
                j, n, m = path[s + 1], len(worth[s]), len(worth[s + 1])
                if i < n and j < m:
                    weight += max(np.log(steps[s][i, j]), UNLINKED)
                elif i < n:
                    weight += LEAVE
                elif j < m:
                    weight += ENTER - np.log(m)
        total += np.exp(weight)
        for s, i in enumerate(path):
            if i < len(worth[s]):
                share[s][i] += np.exp(weight)
    return [own / total for own in share]


@pytest.mark.parametrize("seed", range(5))
def test_posteriors_are_those_of_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = [2, 1, 3, 0, 2][: 3 + seed % 3]
    worth = [rng.normal(0, 2, (count, 2)) for count in counts]
    steps = [rng.uniform(1e-4, 1, (a, b)) for a, b in pairwise(counts)]
    starts = np.cumsum([0, *counts])
    found = 1 / (1 + np.exp(-log_odds(np.concatenate(worth), starts, steps)))
    for person in range(2):
        expected = np.concatenate(by_hand([own[:, person] for own in worth], steps))
        np.testing.assert_allclose(found[:, person], expected, atol=1e-6)


def test_shots_are_apart() -> None:
    rng = np.random.default_rng(0)
    worth, step = rng.normal(0, 2, (4, 1)), rng.uniform(0.1, 1, (1, 1))
    starts = np.arange(5)
    both = log_odds(worth, starts, [step, None, step])
    for part in (slice(0, 2), slice(2, 4)):
        np.testing.assert_allclose(both[part], log_odds(worth[part], np.arange(3), [step]), atol=1e-9)


def test_nothing_to_follow() -> None:
    assert paths.log_odds(np.zeros((0, 3)), np.zeros(1, int), []).shape == (0, 3)
