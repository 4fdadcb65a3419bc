"""Choosing τ: the best of the grid, the same each time, and nothing chosen by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import HeadScores, ReadOut, choose_readout, evaluate
from rhas.train.metrics.choosing import BEST_CLASS, GRID, PLAIN


def person(scores: list[float], labels: list[int]) -> HeadScores:
    column = np.array(scores, dtype=np.float32)[:, None]
    return HeadScores(
        {"model": column}, np.array(labels, dtype=bool)[:, None], np.ones(len(labels), bool), "m1/p1"
    )


def test_the_best_of_the_grid() -> None:
    made = [person([0.01, 0.12, 0.12, 0.07, 0.07, 0.07], [0, 1, 1, 0, 0, 0])]
    choice = choose_readout(made)
    assert (choice.readout, choice.f1_macro_50) == (ReadOut(0.1), 100)
    f1 = [evaluate([made[0].video(ReadOut(tau))], tau).chosen.f1_macro[50] for tau in GRID]
    assert max(f1) == 100 and f1.index(100) == GRID.index(0.1) and f1.count(100) == 1


def test_of_equals_the_nearest_to_half_and_then_the_lower() -> None:
    made = [person([0.9, 0.9, 0.1], [1, 1, 0])]
    assert choose_readout(made).readout.tau == 0.5
    assert choose_readout(made, PLAIN, (0.2, 0.75, 0.25, 0.8)).readout.tau == 0.25


def test_without_a_threshold_the_best_class_is_measured() -> None:
    scores = np.array([[0.4, 0.3], [0.2, 0.1], [0.1, 0.2], [0.0, 0.9]], dtype=np.float32)
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    made = [HeadScores({"model": scores}, labels, np.ones(4, bool), "m1/p1")]
    choice = choose_readout(made, PLAIN.replace(by_class=True), BEST_CLASS)
    assert (choice.readout, choice.f1_macro_50) == (ReadOut(None), 100)


def test_without_a_segment_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(InputError, match="at least one labelled segment"):
        choose_readout([person([0.9], [0])])
    with pytest.raises(InputError, match="at least one"):
        choose_readout([])
