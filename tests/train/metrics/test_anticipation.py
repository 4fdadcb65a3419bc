"""Anticipation accuracy against its definition, frame by frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import Video
from rhas.train.metrics.anticipation import AHEAD, OBSERVED, Anticipation, horizon


def video(classes_T: np.ndarray, predicted_T: np.ndarray, C: int = 4) -> Video:
    return Video(
        np.eye(C, dtype=np.float32)[predicted_T], np.eye(C, dtype=bool)[classes_T],
        np.ones(len(classes_T), bool), "video",
    )  # fmt: skip


def test_horizons_are_whole_frames() -> None:
    assert horizon(10, 0.3, 0.5) == slice(3, 8) and horizon(97, 0.3, 0.1) == slice(29, 38)
    assert horizon(1, 0.2, 0.1) == slice(0, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 999), st.sampled_from(OBSERVED))
def test_accuracy_is_the_mean_over_classes_of_all_videos_together(
    lengths: list[int], seed: int, observed: float
) -> None:
    rng = np.random.default_rng(seed)
    pairs = [rng.integers(4, size=(2, length)) for length in lengths]
    counts = Anticipation(4, observed)
    for truth, predicted in pairs:
        counts.add(video(truth, predicted))
    for ahead, found in counts.percent().items():
        right = {c: [] for c in range(4)}
        for truth, predicted in pairs:
            for t in range(
                math.floor(observed * len(truth) + 1e-9), math.floor((observed + ahead) * len(truth) + 1e-9)
            ):
                right[truth[t]].append(truth[t] == predicted[t])
        shares = [np.mean(found) for found in right.values() if found]
        assert (math.isnan(found) and not shares) or found == pytest.approx(100 * np.mean(shares))
    assert tuple(counts.percent()) == AHEAD


def test_with_several_labels_the_best_class_has_to_be_one_of_them() -> None:
    labels = np.zeros((10, 3), bool)
    labels[:, 0], labels[5:, 1] = True, True
    scores = np.tile(np.array([0.2, 0.9, 0.1], np.float32), (10, 1))
    counts = Anticipation(
        3, 0.3, (0.4,)
    )  # frames 3 to 6: two of four are right, for class 0; two of two for 1
    counts.add(Video(scores, labels, np.ones(10, bool), "video"))
    assert counts.percent() == {0.4: pytest.approx(75)}
    absent = Anticipation(3, 0.3, (0.4,))
    absent.add(Video(scores, labels, np.zeros(10, bool), "video"))
    assert math.isnan(absent.percent()[0.4])
    with pytest.raises(InputError, match="4 classes"):
        Anticipation(4, 0.2).add(Video(scores, labels, np.ones(10, bool), "video"))
