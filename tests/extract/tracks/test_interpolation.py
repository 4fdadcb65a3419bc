"""Boxes between sights: straight lines are met exactly, and nothing is carried where nobody looked."""

from __future__ import annotations

import numpy as np
import pytest

from rhas.extract.tracks.interpolation import path
from rhas.extract.tracks.sparse import looked_at

T = 21
TIME_S = np.arange(T) / 5
LOOKED = np.arange(0, T, 4)  # every .8 s
ONE_SHOT = np.zeros(T, int)


def line(time_s: np.ndarray) -> np.ndarray:
    """A box [T, 4] that moves and grows evenly."""
    return np.array([0.1, 0.2, 0.3, 0.6]) + np.array([0.05, 0.01, 0.06, 0.02]) * time_s[:, None]


def test_what_moves_evenly_is_met_exactly() -> None:
    found = path(TIME_S, LOOKED, np.ones(6, bool), ONE_SHOT, 1.5)
    np.testing.assert_allclose(found.between(line(TIME_S[LOOKED])), line(TIME_S), atol=1e-12)
    assert (found.left[LOOKED] == np.arange(6)).all() and (found.right[LOOKED] == np.arange(6)).all()


@pytest.mark.parametrize(("longest_gap_s", "bridged"), [(1.5, False), (1.6, True)])
def test_gaps_are_bridged_as_long_as_they_may_be(longest_gap_s: float, bridged: bool) -> None:
    seen = np.array([True, True, False, True, True, True])  # 1.6 s between the second and the third sight
    boxes = path(TIME_S, LOOKED, seen, ONE_SHOT, longest_gap_s).between(line(TIME_S[LOOKED]))
    assert np.isfinite(boxes[8]).all() == bridged
    # Up to the middle of the way to a look that found nobody, the box stays.
    np.testing.assert_allclose(boxes[5], line(TIME_S)[5] if bridged else line(TIME_S)[4])
    assert np.isfinite(boxes[6]).all() == bridged


def test_nothing_goes_over_a_cut() -> None:
    shot = (np.arange(T) >= 6).astype(int)
    boxes = path(TIME_S, LOOKED, np.ones(6, bool), shot, 1.5).between(line(TIME_S[LOOKED]))
    np.testing.assert_allclose(boxes[[4, 5]], line(TIME_S)[[4, 4]])
    np.testing.assert_allclose(boxes[[6, 7, 8]], line(TIME_S)[[8, 8, 8]])


def test_who_is_never_seen_is_nowhere() -> None:
    assert np.isnan(
        path(TIME_S, LOOKED, np.zeros(6, bool), ONE_SHOT, 1.5).between(line(TIME_S[LOOKED]))
    ).all()


def test_looks_are_the_same_ones_wherever_windows_begin() -> None:
    inside = [TIME_S >= 0, (TIME_S >= 1.0) & (TIME_S < 2.5)]
    look = looked_at(TIME_S, inside, 0.8)
    # Every .8 s, and the first and last sample of both intervals.
    assert np.flatnonzero(look).tolist() == [0, 4, 5, 8, 12, 16, 20]
    assert not looked_at(TIME_S, [TIME_S < 0], 0.8).any()


def test_rates_that_do_not_divide_look_at_the_next_sample() -> None:
    time_s = np.arange(30) / 15
    at = np.flatnonzero(looked_at(time_s, [np.ones(30, bool)], 0.5))
    assert at.tolist() == [0, 8, 15, 23, 29]
