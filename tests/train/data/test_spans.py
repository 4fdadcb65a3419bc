"""Cutting windows: every promised frame once, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from training_folders import VOCABULARY, stretch_of

from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT
from rhas.train.data.spans import Span, Stretch, cut

STRETCHES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 100)), min_size=1, max_size=5
)  # first, frames


def _stretches(places: list[tuple[int, int]]) -> list[Stretch]:
    return [stretch_of("film", f"p{i}", n, first) for i, (first, n) in enumerate(places)]


@settings(max_examples=50, deadline=None)
@given(STRETCHES, st.integers(1, 40), st.integers(1, 40))
def test_every_frame_is_in_one_span_and_in_order(
    places: list[tuple[int, int]], window: int, min_frames: int
) -> None:
    min_frames = min(min_frames, window)
    stretches = _stretches(places)
    spans, left_out = cut(stretches, window, min_frames)
    missing = 0
    for stretch in stretches:
        own = [span for span in spans if span.stretch is stretch]
        frames = [frame for span in own for frame in range(span.start, span.stop)]
        assert frames == list(range(stretch.first, stretch.first + len(frames)))
        rest = len(stretch.status) - len(frames)
        assert rest < min_frames
        missing += rest
        assert all(span.stop - span.start == window for span in own[:-1])
        if own:
            np.testing.assert_array_equal(
                np.concatenate([s.time_s for s in own]), stretch.time_s[: len(frames)]
            )
    assert missing == left_out
    assert all(min_frames <= span.stop - span.start <= window for span in spans)
    assert min_frames > 1 or left_out == 0


@settings(max_examples=50, deadline=None)
@given(STRETCHES, st.randoms())
def test_the_order_of_persons_does_not_matter(places: list[tuple[int, int]], random: object) -> None:
    stretches = _stretches(places)
    names = [span.name for span in cut(stretches, 7)[0]]
    random.shuffle(stretches)  # type: ignore[attr-defined]
    assert [span.name for span in cut(stretches, 7)[0]] == names


def test_frames_outside_the_interval_and_absence_are_not_valid() -> None:
    stretch = stretch_of("film", frames=4, first=5)
    stretch.status[1] = FrameStatus.OUTSIDE
    stretch.status[2] = FrameStatus.FAILED
    own = (Interval("running", 0.0, 0.8), Interval(ABSENT, 0.8, 9.0))
    span = Span(Stretch(**{**vars(stretch), "intervals": own}), 5, 9)
    labels_TC, valid_T = span.labels(VOCABULARY)
    assert span.name == "film/a/5"
    assert labels_TC[:, 0].tolist() == [True, True, True, False]
    assert valid_T.tolist() == [True, False, True, False]  # lost features make a frame no less valid
