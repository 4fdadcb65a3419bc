"""Choosing τ: the best of the grid, the same each time, and nothing chosen by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import Video, choose_threshold, evaluate


def video(scores: list[float], labels: list[int]) -> Video:
    column = np.array(scores, dtype=np.float32)[:, None]
    return Video(column, np.array(labels, dtype=bool)[:, None], np.ones(len(labels), dtype=bool), "m1/p1")


def test_the_best_of_the_grid() -> None:
    made = [video([0.01, 0.12, 0.12, 0.07, 0.07, 0.07], [0, 1, 1, 0, 0, 0])]
    threshold = choose_threshold(made)
    assert (threshold.tau, threshold.f1_macro_50) == (0.1, 100)
    for tau, f1 in threshold.tried:
        assert evaluate(made, tau).chosen.f1_macro[50] == f1 <= 100


def test_of_equals_the_nearest_to_half_and_then_the_lower() -> None:
    made = [video([0.9, 0.9, 0.1], [1, 1, 0])]
    assert choose_threshold(made).tau == 0.5
    assert choose_threshold(made, grid=(0.2, 0.75, 0.25, 0.8)).tau == 0.25


def test_without_a_segment_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(InputError, match="at least one labelled segment"):
        choose_threshold([video([0.9], [0])])
    with pytest.raises(InputError, match="at least one"):
        choose_threshold([])
