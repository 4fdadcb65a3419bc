"""Baselines: what they say, and that on a long tail they score low where the metrics are honest."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from rhas.train.data import class_counts
from rhas.train.metrics import Video, compare
from rhas.train.metrics.baselines import constant, person_mode, prior

CLASSES = 40


@pytest.fixture(scope="module")
def long_tail() -> list[Video]:
    """Segments of 10 to 60 frames whose classes follow Zipf's law, scored without a fault."""
    random = np.random.default_rng(0)
    frequency = 1 / np.arange(1, CLASSES + 1)
    made = []
    for i in range(20):
        classes = random.choice(CLASSES, 30, p=frequency / frequency.sum())
        labels = np.eye(CLASSES, dtype=bool)[np.repeat(classes, random.integers(10, 60, 30))]
        made.append(Video(labels.astype(np.float32), labels, np.arange(len(labels)) // 50 != 3, f"m{i}/p1"))
    return made


def counts_of(videos: list[Video]) -> np.ndarray:
    return class_counts((v.labels, v.valid) for v in videos)


def test_what_each_says() -> None:
    labels = np.array([[0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=bool)
    video = Video(np.full((4, 3), 0.7), labels, np.array([True, True, True, False]), "m1/p1")
    training = np.array([1, 9, 0])
    assert constant(training)(video).scores.tolist() == [[0, 1, 0]] * 4
    assert person_mode(video).scores.tolist() == [[0, 0, 1]] * 4
    drawn = prior(training, torch.Generator().manual_seed(0))(video).scores
    assert drawn.sum(axis=1).tolist() == [1] * 4
    assert not drawn[:, 2].any()  # never seen in training
    unlabelled = Video(video.scores, np.zeros_like(labels), video.valid, "m1/p1")
    assert not person_mode(unlabelled).scores.any()


def test_prior_draws_by_frequency_and_by_the_generator() -> None:
    frames = 20_000
    video = Video(np.zeros((frames, 2)), np.zeros((frames, 2), dtype=bool), np.ones(frames, dtype=bool), "a")
    first, again = (prior(np.array([3, 1]), torch.Generator().manual_seed(5))(video).scores for _ in range(2))
    assert np.array_equal(first, again)
    assert first.mean(axis=0) == pytest.approx([0.75, 0.25], abs=0.02)


def test_baselines_score_low_on_a_long_tail(long_tail: list[Video]) -> None:
    comparison = compare(long_tail, 0.5, counts_of(long_tail), torch.Generator().manual_seed(0))
    assert comparison.model.chosen.f1_macro[50] == pytest.approx(100)
    assert list(comparison.baselines) == ["constant", "prior", "person_mode"]
    for report in comparison.baselines.values():
        assert report.chosen.f1_macro[50] < 5
        assert report.chosen.f1_micro[50] < 10
        assert report.chosen.edit < 15
        assert report.frame_mAP < 10


def test_a_comparison_as_plain_data(long_tail: list[Video]) -> None:
    comparison = compare(long_tail[:2], 0.5, counts_of(long_tail), torch.Generator().manual_seed(0))
    data = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert len(data["model"]["per_class"]) == CLASSES
    assert data["baselines"]["constant"]["acc"] == comparison.baselines["constant"].acc


def test_an_iterator_is_refused(long_tail: list[Video]) -> None:
    with pytest.raises(TypeError, match="which can be walked once"):
        compare(iter(long_tail), 0.5, counts_of(long_tail), torch.Generator())
