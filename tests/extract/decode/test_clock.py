"""Stamps on one clock: where it is cut, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhas.extract.decode.clock import NO_STAMP, Join, joins, outliers, restarts

PER_S = 90_000  # of a transport stream
FRAME = 3600  # 25 a second
Stamps = NDArray[np.int64]


def stamps(*runs: tuple[float, int]) -> Stamps:
    """Runs of (first stamp in s, frames), 25 a second."""
    parts = [round(start_s * PER_S) + FRAME * np.arange(count) for start_s, count in runs]
    return np.concatenate(parts).astype(np.int64)


def lasting(count: int, duration: int = FRAME) -> Stamps:
    return np.full(count, duration, np.int64)


def on_one_clock(dts: Stamps, found: list[Join]) -> Stamps:
    times = dts.copy()
    for join in found:
        times[join.row :] = dts[join.row :] + join.shift
    return times


@pytest.mark.parametrize("duration", [FRAME, 0])  # where none is said, the usual step
@pytest.mark.parametrize("second_s", [0.0, 1.1, 1.0, -50.0, 11.9, 7200.0])
def test_a_clock_that_starts_again_or_jumps_goes_on(second_s: float, duration: int) -> None:
    dts = stamps((1.4, 10), (second_s, 12))  # the first part ends at 1.8
    (join,) = joins(dts, lasting(22, duration), PER_S)
    assert join == Join(10, round((1.8 - second_s) * PER_S))
    np.testing.assert_array_equal(on_one_clock(dts, [join]), stamps((1.4, 22)))


@pytest.mark.parametrize("second_s", [1.8, 3.8, 1.7, 11.7, 11.76])  # the last one: 10 s after the last frame
def test_short_gaps_and_smaller_steps_are_kept(second_s: float) -> None:
    assert joins(stamps((1.4, 10), (second_s, 12)), lasting(22), PER_S) == []


def test_the_limits_are_ten_seconds_forward_and_a_tenth_back() -> None:
    for step, cut in [(10 * PER_S, 0), (10 * PER_S + 1, 1), (-PER_S // 10, 0), (-PER_S // 10 - 1, 1), (0, 0)]:
        dts = np.array([0, FRAME, 2 * FRAME, 2 * FRAME + step, 3 * FRAME + step])
        assert len(joins(dts, lasting(5), PER_S)) == cut, step


def test_every_cut_counts_from_the_one_before() -> None:
    dts = stamps((5, 10), (5, 10), (9000, 10), (0, 10))
    found = joins(dts, lasting(40), PER_S)
    assert [join.row for join in found] == [10, 20, 30]
    np.testing.assert_array_equal(on_one_clock(dts, found), stamps((5, 40)))


def test_packets_without_a_stamp_are_passed_over() -> None:
    dts = stamps((0, 20), (0, 20))
    dts[[3, 7, 12, 30]] = NO_STAMP
    assert joins(dts, lasting(40), PER_S) == [Join(20, 20 * FRAME)]
    assert joins(np.full(5, NO_STAMP), lasting(5), PER_S) == []
    assert joins(np.array([NO_STAMP, 7, NO_STAMP]), lasting(3), PER_S) == []


def test_where_restarts_are_given_steps_are_not_looked_at() -> None:
    """In MP4 and Matroska a long gap is a long still picture."""
    dts = stamps((0, 10), (30, 10), (0, 10))
    back = np.zeros(30, bool)
    assert joins(dts, lasting(30), PER_S, back) == []
    back[20] = True
    assert joins(dts, lasting(30), PER_S, back) == [Join(20, round(30.4 * PER_S))]


ORDERS = {"IPBB": [0, 3, 1, 2], "pyramid": [0, 8, 4, 2, 1, 3, 6, 5, 7], "all shown at once": [0, 1, 2, 3]}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("open_group", [False, True])
def test_frames_stored_out_of_order_do_not_start_again(order: list[int], open_group: bool) -> None:
    group = len(order)
    pts = np.concatenate([np.array(order) + group * g for g in range(6)]) * FRAME
    entry = np.arange(len(pts)) % group == 0
    if open_group:  # those that are stored behind an entry are shown before it
        pts[entry] += (group - 1) * FRAME
        pts[~entry] -= FRAME
    assert not restarts(pts, entry, PER_S).any()


def test_an_entry_that_is_shown_before_what_is_stored_before_it_starts_again() -> None:
    one = np.array([0, 3, 1, 2, 4, 7, 5, 6])
    pts = np.concatenate([one, one, one + 8]) * FRAME
    entry = np.arange(24) % 4 == 0
    assert np.flatnonzero(restarts(pts, entry, PER_S)).tolist() == [8]  # not 12 too: it is on the new clock
    entry[8:] = False  # nothing that refers to frames before it can start again
    assert not restarts(pts, entry, PER_S).any()
    # From a tenth of a second back on.
    slight = np.array([0, 1, 2, 3, 3 * PER_S, 3 * PER_S - PER_S // 10, 3 * PER_S - PER_S // 10 - 1])
    assert restarts(slight, np.ones(7, bool), PER_S).tolist() == [False] * 6 + [True]


@pytest.mark.parametrize("off", [-(2**33), -1000 * PER_S, 61 * PER_S, 2**33])
@pytest.mark.parametrize("row", [1, 7, 18])
def test_a_single_stamp_far_off_is_damaged_and_no_cut(off: int, row: int) -> None:
    dts = stamps((100, 20))
    dts[row] += off
    damaged = outliers(dts, 60 * PER_S)
    assert np.flatnonzero(damaged).tolist() == [row]
    assert joins(np.where(damaged, NO_STAMP, dts), lasting(20), PER_S) == []
    assert joins(dts, lasting(20), PER_S)  # it would be one


def test_neither_joins_nor_gaps_nor_reordering_are_outliers() -> None:
    limit = 60 * PER_S
    for sound in (
        stamps((100, 10), (0, 10)),
        stamps((0, 10), (7200, 10)),
        stamps((0, 10), (100, 1)),
        stamps((0, 1)),
    ):
        assert not outliers(sound, limit).any()
    pts = np.concatenate([np.array([0, 3, 1, 2]) + 4 * g for g in range(5)]) * FRAME
    assert not outliers(pts, limit).any()
    assert not outliers(np.array([0, 1, 5, 200, 5000]), 0.5).any()  # what only ascends


# A recording is steps between frames, up to the longest gap that is kept.
steps = st.lists(st.integers(1, 10 * PER_S), max_size=30)
# A new one begins further back than 0.1 s or further on than 10 s, from where the last one ended.
cuts = st.one_of(st.integers(-(2**33), -PER_S // 10 - 1), st.integers(10 * PER_S + 1, 2**33))


recordings = st.lists(st.tuples(steps, cuts), min_size=1, max_size=6)


@given(recordings, st.integers(0, 2 * FRAME), st.integers(-(2**40), 2**40))
def test_on_one_clock_times_only_go_forward_and_recordings_keep_their_steps(
    recordings: list[tuple[list[int], int]], duration: int, first: int
) -> None:
    moves = [move for own, cut in recordings for move in [*own, cut]][:-1]
    dts = first + np.concatenate([[0], np.cumsum(np.array(moves, np.int64))]).astype(np.int64)
    ends = np.cumsum([len(own) + 1 for own, _ in recordings])[:-1]
    found = joins(dts, lasting(len(dts), duration), PER_S)
    assert [join.row for join in found] == ends.tolist()
    after = np.diff(on_one_clock(dts, found))
    assert (after > 0).all()
    at_cut = np.isin(np.arange(1, len(dts)), ends)
    np.testing.assert_array_equal(after[~at_cut], np.diff(dts)[~at_cut])
    if duration:
        assert (after[at_cut] == duration).all()
        assert joins(on_one_clock(dts, found), lasting(len(dts), duration), PER_S) == []
