"""Sampling: each sample shows the last frame that is not later, for any frame rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.extract.decode.sampling import ROUNDING_S, sample

gaps_s = st.lists(st.floats(0.004, 2.0), min_size=1, max_size=60)


@given(gaps_s, st.floats(0, 1e4), st.sampled_from([1, 5, 12.5, 15, 23.976, 30, 60]))
def test_every_sample_shows_the_last_frame_that_is_not_later(
    gaps: list[float], origin_s: float, fps: float
) -> None:
    start_s = np.concatenate([[0.0], np.cumsum(gaps)])
    grid = sample(start_s + origin_s, start_s[-1] + 0.04, fps)
    slack_s = ROUNDING_S + 2e-7 * start_s[-1] + 1e-9
    shown_s = start_s[grid.source_frame]
    following_s = np.append(start_s, np.inf)[grid.source_frame + 1]
    assert (shown_s <= grid.time_s + slack_s).all()
    assert (following_s > grid.time_s - 1e-9).all()
    np.testing.assert_allclose(grid.time_s, np.arange(len(grid)) / fps)
    assert abs(len(grid) - (start_s[-1] + 0.04) * fps) <= 1 + slack_s * fps


@given(gaps_s, st.floats(0, 1e4))
def test_native_keeps_every_frame_at_its_own_time(gaps: list[float], origin_s: float) -> None:
    start_s = origin_s + np.concatenate([[0.0], np.cumsum(gaps)])
    grid = sample(start_s, float(start_s[-1] - origin_s) + 0.04, None)
    np.testing.assert_array_equal(grid.source_frame, np.arange(len(start_s)))
    np.testing.assert_allclose(grid.time_s, start_s - origin_s, atol=1e-9)


@pytest.mark.parametrize(("fps", "count", "step"), [(5, 50, 6), (15, 150, 2), (30, 300, 1)])
def test_whole_divisors_of_the_rate_step_evenly(fps: float, count: int, step: int) -> None:
    grid = sample(np.arange(300) / 30, 10.0, fps)
    np.testing.assert_array_equal(grid.source_frame, np.arange(count) * step)


def test_time_stamps_rounded_to_milliseconds_lose_no_frame() -> None:
    start_s = np.round(np.arange(300) / 30, 3)  # as Matroska stores them
    np.testing.assert_array_equal(sample(start_s, 10.0, 30).source_frame, np.arange(300))


def test_a_movie_shown_faster_than_shot_repeats_frames() -> None:
    grid = sample(np.arange(10) / 10, 1.0, 30)
    np.testing.assert_array_equal(grid.source_frame, np.repeat(np.arange(10), 3))
