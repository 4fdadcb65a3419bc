"""Cutting windows: every promised frame once, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from training_folders import VOCABULARY, clip_of

from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT
from rhas.train.data.windows import Clip, Window, cut

CLIPS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 100)), min_size=1, max_size=5)  # first, frames


def _clips(places: list[tuple[int, int]]) -> list[Clip]:
    return [clip_of("movie", f"p{i}", n, first) for i, (first, n) in enumerate(places)]


@settings(max_examples=50, deadline=None)
@given(CLIPS, st.integers(1, 40), st.integers(1, 40))
def test_every_frame_is_in_one_window_and_in_order(
    places: list[tuple[int, int]], longest: int, min_frames: int
) -> None:
    min_frames = min(min_frames, longest)
    clips = _clips(places)
    windows, left_out = cut(clips, longest, min_frames)
    missing = 0
    for clip in clips:
        own = [window for window in windows if window.clip is clip]
        frames = [frame for window in own for frame in range(window.start, window.stop)]
        assert frames == list(range(clip.first, clip.first + len(frames)))
        rest = len(clip.status) - len(frames)
        assert rest < min_frames
        missing += rest
        assert all(window.stop - window.start == longest for window in own[:-1])
        if own:
            np.testing.assert_array_equal(np.concatenate([s.time_s for s in own]), clip.time_s[: len(frames)])
    assert missing == left_out
    assert all(min_frames <= window.stop - window.start <= longest for window in windows)
    assert min_frames > 1 or left_out == 0


@settings(max_examples=50, deadline=None)
@given(CLIPS, st.randoms())
def test_the_order_of_persons_does_not_matter(places: list[tuple[int, int]], random: object) -> None:
    clips = _clips(places)
    names = [window.name for window in cut(clips, 7)[0]]
    random.shuffle(clips)  # type: ignore[attr-defined]
    assert [window.name for window in cut(clips, 7)[0]] == names


def test_frames_outside_the_interval_and_absence_are_not_valid() -> None:
    clip = clip_of("movie", frames=4, first=5)
    clip.status[1] = FrameStatus.OUTSIDE
    clip.status[2] = FrameStatus.FAILED
    own = (Interval("running", 0.0, 0.8), Interval(ABSENT, 0.8, 9.0))
    window = Window(Clip(**{**vars(clip), "intervals": own}), 5, 9)
    labels_TC, valid_T = window.labels(VOCABULARY)
    assert window.name == "movie/a/5"
    assert labels_TC[:, 0].tolist() == [True, True, True, False]
    assert valid_T.tolist() == [True, False, True, False]  # lost features make a frame no less valid
