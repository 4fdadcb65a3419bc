"""Labels at frames: as looking at each frame and each interval would have it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.rasterise import class_counts, rasterise

VOCABULARY = Vocabulary(("running", "walking", "talking"))
# Coarse, so that intervals often begin and end at a frame.
TIMES = st.integers(0, 24).map(lambda n: n / 4)
INTERVALS = st.builds(
    lambda action, start, length: Interval(action, start, start + length + 0.25),
    st.sampled_from((*VOCABULARY.actions, ABSENT)), TIMES, TIMES,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(INTERVALS, max_size=8), st.sets(TIMES, max_size=20))
def test_is_what_each_frame_by_itself_says(intervals: list[Interval], times: set[float]) -> None:
    time_s = np.array(sorted(times))
    labels_TC, present_T = rasterise(intervals, time_s, VOCABULARY)
    assert labels_TC.shape == (len(times), 3) and labels_TC.dtype == present_T.dtype == bool
    for t, second in enumerate(time_s):
        on = {i.action for i in intervals if i.start_s <= second < i.end_s}
        assert {VOCABULARY.actions[c] for c in np.flatnonzero(labels_TC[t])} == on - {ABSENT}
        assert present_T[t] == (ABSENT not in on)


def test_intervals_are_half_open_and_may_overlap() -> None:
    intervals = [Interval("running", 0.1, 0.3), Interval("talking", 0.2, 0.4), Interval(ABSENT, 0.4, 0.5)]
    labels_TC, present_T = rasterise(intervals, np.arange(6) / 10, VOCABULARY)
    assert labels_TC.astype(int).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [1, 0, 1],
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert present_T.tolist() == [True, True, True, True, False, True]


def test_an_unknown_action_is_named() -> None:
    with pytest.raises(InputError, match=r"got 'flying': expected one of the 3 actions, or N/A"):
        rasterise([Interval("flying", 0, 1)], np.zeros(1), VOCABULARY)


def test_counts_are_of_valid_frames() -> None:
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 1]], dtype=bool)
    pair = labels, np.array([True, True, False])
    assert class_counts([pair, pair]).tolist() == [4, 0, 2]
    with pytest.raises(InputError, match="training labels: expected at least one labelled frame"):
        class_counts([(labels, np.zeros(3, dtype=bool))])
