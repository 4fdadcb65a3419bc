"""Videos: what is refused, in whose name, and which frames count."""

from __future__ import annotations

import numpy as np
import pytest

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import Video, evaluate

SCORES = np.zeros((4, 3), dtype=np.float32)
LABELS = np.zeros((4, 3), dtype=bool)
VALID = np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("scores", "labels", "valid", "message"),
    [
        (
            SCORES[0],
            LABELS,
            VALID,
            r"m1/p1, column scores: got \(3,\): expected the shape \[frames, classes\]",
        ),
        (SCORES[:, :0], LABELS[:, :0], VALID, r"column scores: got \(4, 0\): expected .*at least one class"),
        (SCORES, LABELS[:3], VALID, r"column labels: got \(3, 3\): expected the shape of scores, \(4, 3\)"),
        (SCORES, LABELS, VALID[:2], r"column valid: got \(2,\): expected one entry per frame, \(4,\)"),
        (SCORES.astype(int), LABELS, VALID, "column scores: got 'int64': expected dtype floating"),
        (SCORES, LABELS.astype(int), VALID, "column labels: got 'int64': expected dtype bool"),
    ],
)
def test_what_does_not_fit_is_named(
    scores: np.ndarray, labels: np.ndarray, valid: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Video(scores, labels, valid, "m1/p1")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_an_error_that_names_the_video(value: float) -> None:
    scores = SCORES.copy()
    scores[2, 1] = value
    with pytest.raises(InputError, match=rf"m1/p1, .*got {value}: .*frame 2, class 1 is the first of 1"):
        Video(scores, LABELS, VALID, "m1/p1")
    Video(scores, LABELS, np.arange(4) != 2, "m1/p1")  # where the person is absent, anything goes


def test_all_videos_have_the_same_classes() -> None:
    videos = [Video(SCORES, LABELS, VALID, "a"), Video(SCORES[:, :2], LABELS[:, :2], VALID, "b")]
    with pytest.raises(InputError, match=r"b, column scores: got \(4, 2\): expected 3 classes"):
        evaluate(videos, tau=0.5)


def test_frames_that_count_and_where_stretches_begin() -> None:
    valid = np.array([0, 1, 1, 0, 1, 1, 1, 0], dtype=bool)
    labels = np.array([1, 1, 0, 1, 1, 0, 1, 1], dtype=bool)[:, None]
    video = Video(np.arange(8.0)[:, None], labels, valid, "a")
    present, labelled = video.present(), video.labelled()
    assert present.scores_NC[:, 0].tolist() == [1, 2, 4, 5, 6]
    assert present.breaks_N.tolist() == [True, False, True, False, False]
    assert labelled.scores_NC[:, 0].tolist() == [1, 4, 6]
    assert labelled.breaks_N.tolist() == [True, True, True]
