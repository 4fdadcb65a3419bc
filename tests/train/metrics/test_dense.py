"""Per-frame mAP and action-conditional metrics of dense action detection, held against their authors' code.

The figures are what MS-TCT's `apmeter.py` and `utils.py` (torch and scikit-learn 1.9, the loop over absent classes
skipped, which that version refuses) give for the videos made here.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from rhas.train.metrics.dense import dense_scores
from rhas.train.metrics.evaluate import evaluate
from rhas.train.metrics.video import Video


def made(frames: int, seed: int, classes: int = 4) -> Video:
    """Scores without a generator, better than chance; the last class never occurs."""
    t, c = np.arange(frames)[:, None], np.arange(classes)[None]
    noise_TC = ((t * 37 + c * 101 + seed * 53) * (t + 7 * c + 1) % 9973 + seed / 8) / 9974  # no two alike
    labels_TC = ((t // (4 + c) + c * seed) % 7 == 0) & (c != classes - 1)
    scores_TC = np.where(labels_TC, 0.4 + 0.6 * noise_TC, 0.8 * noise_TC)
    return Video(scores_TC.astype(np.float32), labels_TC, np.ones(frames, bool), f"v{seed}")


VIDEOS = [made(60, 1), made(26, 2), made(20, 3), made(130, 5)]


def test_numbers_of_the_authors_code() -> None:
    scores = dense_scores(VIDEOS)
    assert asdict(scores.frame_mAP) == pytest.approx(
        {"all_classes": 45.008392, "above_zero": 60.011189}, abs=1e-4
    )
    assert asdict(scores.sampled_mAP) == pytest.approx(
        {"all_classes": 38.932373, "above_zero": 51.909832}, abs=1e-4
    )
    golden = {
        0: (31.169756, 76.111111, 44.227174, 76.445388),
        20: (26.054722, 87.398035, 40.142374, 64.159820),
        40: (27.326748, 83.998981, 41.237888, 65.012049),
    }
    for lag, own in golden.items():
        assert tuple(asdict(scores.conditional[lag]).values()) == pytest.approx(own, abs=1e-4)


def test_ours_is_theirs_over_the_classes_that_occur() -> None:
    assert evaluate(VIDEOS, 0.5).frame_mAP == pytest.approx(
        dense_scores(VIDEOS).frame_mAP.above_zero, abs=1e-9
    )


def test_few_frames_are_sampled_nowhere() -> None:
    video = Video(np.array([[0.9], [0.1]]), np.array([[True], [False]]), np.ones(2, bool), "v")
    assert dense_scores([video]).to_dict() == {
        "frame_mAP": {"all_classes": 100.0, "above_zero": 100.0},
        "sampled_mAP": {"all_classes": None, "above_zero": None},
        **{f"conditional@{t}": dict.fromkeys(("precision", "recall", "f1", "mAP")) for t in (0, 20, 40)},
    }
