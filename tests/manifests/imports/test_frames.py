"""Labels by frame to intervals and back, bit for bit; lengths that have to agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.frames import check_fps, common_length, frame_times, intervals_of, label_matrix
from rhas.manifests.tables.labels import Interval, Labels, load_labels, write_labels
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.rasterise import rasterise

VOCABULARY = Vocabulary(("background", "cut, or „slice“", "add oil"))
FPS = st.sampled_from([15.0, 30.0, 29.97, 30000 / 1001, 1 / 3, 1000.0, 0.001]) | st.floats(0.001, 1000)


def rastered(intervals: tuple[Interval, ...], frames: int, fps: float) -> list[set[int]]:
    labels_TC, present_T = rasterise(intervals, frame_times(frames, fps), VOCABULARY)
    assert present_T.all()
    return [set(np.flatnonzero(row).tolist()) for row in labels_TC]


@settings(deadline=None)
@given(classes=st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=60), fps=FPS)
def test_frames_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, classes: list[set[int]], fps: float
) -> None:
    intervals = intervals_of(label_matrix(classes, VOCABULARY), fps, VOCABULARY)
    assert rastered(intervals, len(classes), fps) == classes
    if intervals:  # and through the file
        path = tmp_path_factory.getbasetemp() / "labels.csv"
        write_labels(Labels(path, {("m", "p"): intervals}), path)
        assert load_labels(path, VOCABULARY, None).intervals == {("m", "p"): intervals}


@settings(deadline=None, max_examples=30)
@given(runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5000)), min_size=1, max_size=20), fps=FPS)
def test_long_movies_too(runs: list[tuple[int, int]], fps: float) -> None:
    classes = np.repeat([index for index, _ in runs], [count for _, count in runs])
    intervals = intervals_of(classes[:, None] == np.arange(3), fps, VOCABULARY)
    labels_TC, _ = rasterise(intervals, frame_times(len(classes), fps), VOCABULARY)
    np.testing.assert_array_equal(labels_TC, classes[:, None] == np.arange(3))
    assert len(intervals) == 1 + int((np.diff(classes) != 0).sum())


def test_intervals_are_maximal_runs() -> None:
    intervals = intervals_of(label_matrix([{0}, {0, 1}, {1}, set(), {1}], VOCABULARY), 2.0, VOCABULARY)
    assert intervals == (
        Interval("background", 0.0, 1.0),
        Interval("cut, or „slice“", 0.5, 1.5),
        Interval("cut, or „slice“", 2.0, 2.5),
    )


@pytest.mark.parametrize("fps", [0.0, -15.0, float("nan"), float("inf"), 1e6])
def test_rates_that_no_movie_has(fps: float) -> None:
    with pytest.raises(InputError, match="--fps"):
        check_fps(fps)


def test_common_length() -> None:
    lengths = {Path("a.npy"): 10, Path("b.txt"): 8, Path("c.npy"): 9}
    assert common_length(lengths, 2) == 8
    with pytest.raises(
        InputError, match=r"b\.txt: got 8: expected 10 frames, as a\.npy has, or at most 1 fewer"
    ):
        common_length(lengths, 1)
