"""Windows of a person put together again: exact where there is one, without a jump where they overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_folders import clip_of

from rhas.train.data.windows import cut
from rhas.train.metrics import ReadOut
from rhas.train.scoring.inference import WindowHeads, stitch

OVERLAPS = st.sampled_from((0.0, 0.1, 0.25, 0.5))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(2, 60), OVERLAPS, st.integers(0, 5))
def test_scores_that_agree_come_out_as_they_are(frames: int, window: int, overlap: float, first: int) -> None:
    clip = clip_of("m", frames=frames, first=first)
    truth_TC = np.random.default_rng(frames).random((first + frames, 3), dtype=np.float32)
    windows, _ = cut([clip], window, overlap=overlap)
    (person,) = stitch(
        WindowHeads(w, {"one": own, "minus": -own}) for w in windows for own in [truth_TC[w.start : w.stop]]
    )
    np.testing.assert_array_equal(person.heads["minus"], -person.heads["one"])  # each head by itself
    series = person.read(ReadOut())
    assert series.covered.all()
    once = np.bincount(np.concatenate([np.arange(w.start, w.stop) for w in windows]))[first:] == 1
    np.testing.assert_array_equal(series.scores[once], truth_TC[first:][once])
    np.testing.assert_allclose(series.scores, truth_TC[first:], rtol=1e-6)
    # The released evaluator's windows have each frame once.
    again = list(series.windows(window))
    assert sum(len(part.scores) for part in again) == frames
    np.testing.assert_array_equal(np.concatenate([part.scores for part in again]), series.scores)


def test_one_window_fades_into_the_next() -> None:
    """Two windows that say 0 and 1: a straight line from one to the other over the frames they share."""
    windows, _ = cut([clip_of("m", frames=100)], 60, overlap=0.25)
    assert len(windows) == 2
    (person,) = stitch(
        WindowHeads(w, {"one": np.full((w.stop - w.start, 1), i, np.float32)}) for i, w in enumerate(windows)
    )
    series = person.read(ReadOut())
    start, stop = windows[1].start, windows[0].stop
    shared = stop - start
    expected = np.interp(np.arange(100), [start - 1, stop], [0, 1])
    np.testing.assert_allclose(series.scores[:, 0], expected, atol=1e-6)
    assert np.abs(np.diff(series.scores[:, 0])).max() == pytest.approx(1 / (shared + 1), rel=1e-5)


def test_frames_in_no_window_are_not_covered() -> None:
    clip = clip_of("m", frames=30)
    windows, _ = cut([clip], 10)
    (person,) = stitch([WindowHeads(windows[1], {"one": np.ones((10, 2), np.float32)})])
    series = person.read(ReadOut())
    assert series.covered.tolist() == [False] * 10 + [True] * 10 + [False] * 10
    assert (series.scores[~series.covered] == 0).all() and (series.scores[series.covered] == 1).all()
    assert [part.window.name for part in series.windows(10)] == ["m/a/10"]
