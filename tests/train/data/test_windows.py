"""Cutting windows: every promised frame once, in order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from training_folders import VOCABULARY, clip_of

from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT
from rhas.train.data.windows import Clip, Window, cut, disjoint

CLIPS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 100)), min_size=1, max_size=5)  # first, frames


def _clips(places: list[tuple[int, int]]) -> list[Clip]:
    return [clip_of("movie", f"p{i}", n, first) for i, (first, n) in enumerate(places)]


@settings(max_examples=50, deadline=None)
@given(CLIPS, st.integers(1, 40), st.integers(1, 40))
def test_every_frame_is_in_one_window_and_in_order(
    places: list[tuple[int, int]], longest: int, min_frames: int
) -> None:
    clips = _clips(places)
    windows, left_out = cut(clips, longest, min_frames)
    missing = 0
    for clip in clips:
        own = [window for window in windows if window.clip is clip]
        frames = [frame for window in own for frame in range(window.start, window.stop)]
        if len(clip.status) < min_frames:
            assert not own
            missing += len(clip.status)
            continue
        assert frames == list(range(clip.first, clip.first + len(clip.status)))
        assert len(own) == -(-len(frames) // longest)  # no more than it takes
        lengths = {window.stop - window.start for window in own}
        assert max(lengths) <= longest and max(lengths) - min(lengths) <= 1
        np.testing.assert_array_equal(np.concatenate([s.time_s for s in own]), clip.time_s)
    assert missing == left_out
    assert disjoint(windows, longest) == windows


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 400), st.integers(4, 60), st.sampled_from((0.1, 0.25, 1 / 3, 0.5)))
def test_parts_are_equal_and_share_what_they_should(frames: int, longest: int, overlap: float) -> None:
    (clip,) = _clips([(7, frames)])
    windows, _ = cut([clip], longest, overlap=overlap)
    bounds = [(window.start - 7, window.stop - 7) for window in windows]
    if frames <= longest:
        assert bounds == [(0, frames)]  # as ever
        return
    assert bounds[0][0] == 0 and bounds[-1][1] == frames
    lengths = [stop - start for start, stop in bounds]
    assert max(lengths) <= longest and max(lengths) - min(lengths) <= 1
    for (start, stop), (after, _) in pairwise(bounds):
        assert start < after and abs(stop - after - overlap * max(lengths)) <= 2
    whole = disjoint(windows, longest)
    assert [t for window in whole for t in range(window.start, window.stop)] == list(range(7, 7 + frames))


def test_a_frame_more_than_a_window_is_no_window_of_one_frame() -> None:
    windows, _ = cut(_clips([(0, 3001)]), 3000)
    assert [(window.start, window.stop) for window in windows] == [(0, 1500), (1500, 3001)]
    windows, _ = cut(_clips([(0, 3001)]), 3000, overlap=0.25)
    assert [(window.start, window.stop) for window in windows] == [(0, 1714), (1286, 3001)]


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
