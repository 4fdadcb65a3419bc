"""What is done to scores after the model, against plain definitions."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.train.config import PostprocessConfig
from rhas.train.scoring.postprocess import postprocess

CLASSES = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[classes]


def test_nothing_is_done_by_default() -> None:
    scores = one_hot([0, 1, 1])
    assert postprocess(scores, PostprocessConfig()) is scores


@settings(max_examples=40, deadline=None)
@given(CLASSES, st.sampled_from((1, 3, 5, 9)))
def test_median_is_that_of_the_frames_around(classes: list[int], frames: int) -> None:
    scores = one_hot(classes) + np.linspace(0, 0.3, len(classes), dtype=np.float32)[:, None]
    reach = frames // 2
    padded = np.pad(scores, ((reach, reach), (0, 0)), mode="edge")
    expected = [np.median(padded[t : t + frames], axis=0) for t in range(len(scores))]
    np.testing.assert_allclose(postprocess(scores, PostprocessConfig(median=frames)), expected)


@settings(max_examples=60, deadline=None)
@given(CLASSES, st.integers(1, 8))
def test_purged_segments_go_to_the_nearest_that_stay(classes: list[int], frames: int) -> None:
    runs, start = [], 0
    for _, run in groupby(classes):
        stop = start + len(list(run))
        runs.append(range(start, stop))
        start = stop
    kept = [t for run in runs if len(run) > frames for t in run]  # ActDiff's purge takes duration <= value
    got = postprocess(one_hot(classes), PostprocessConfig(purge=frames)).argmax(axis=1).tolist()
    nearest = [min(kept, key=lambda k: (abs(k - t), k)) if kept else t for t in range(len(classes))]
    assert got == [classes[t] for t in nearest]
    if kept:
        assert min(len(list(run)) for _, run in groupby(got)) > frames


@pytest.mark.parametrize("name", ["median", "purge"])
def test_lengths_are_checked(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: got 0: expected a number of at least 1"):
        PostprocessConfig(**{name: 0})
