"""Curves of probability against scores whose probabilities are known."""

import numpy as np
import pytest
from scipy.special import expit

from rhas.extract.config import SurenessConfig
from rhas.extract.ground.calibration import calibration_error, curve, overlap
from rhas.manifests.shards.status import FrameStatus


def test_a_curve_finds_the_probabilities_that_outcomes_were_drawn_with():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    true = expit(8 * scores - 5)
    right = rng.random(len(scores)) < true
    found = SurenessConfig(detected=curve(scores, right))
    sure = np.array([found.of(FrameStatus.DETECTED, score) for score in scores[:2000]])
    inner = (scores[:2000] > 0.05) & (scores[:2000] < 0.95)
    np.testing.assert_allclose(sure[inner], true[:2000][inner], atol=0.05)
    assert calibration_error(scores, right) > 0.1
    assert calibration_error(np.interp(scores, *zip(*found.detected, strict=True)), right) < 0.02


def test_too_few_boxes_make_no_curve():
    assert curve(np.linspace(0, 1, 59), np.ones(59, bool)) is None


def test_calibration_error_of_a_few():
    sure, right = np.array([0.95, 0.95, 0.15, 0.15]), np.array([True, False, False, False])
    assert calibration_error(sure, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)


def test_overlap():
    one = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1.0]])
    other = np.array([[1, 1, 3, 3], [2, 2, 3, 3], [np.nan] * 4])
    assert overlap(one, other).tolist() == pytest.approx([1 / 7, 0, 0])
