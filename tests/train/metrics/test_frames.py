"""Frame metrics against their definitions, written out slowly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rhas.train.metrics.frames import Accuracy, FrameAP, SetAgreement, average_precision


def textbook_average_precision(scores: list[int], positive: list[bool]) -> float:
    total, ap, recall_before = sum(positive), 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        retrieved = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        recall = sum(retrieved) / total
        ap += (recall - recall_before) * sum(retrieved) / len(retrieved)
        recall_before = recall
    return 100 * ap


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_average_precision_with_many_ties(frames: list[tuple[int, bool]]) -> None:
    scores, positive = map(list, zip(*frames, strict=True))
    fast = average_precision(np.array(scores, dtype=float), np.array(positive, dtype=bool))
    if any(positive):
        assert fast == pytest.approx(textbook_average_precision(scores, positive))
    else:
        assert np.isnan(fast)


def test_average_precision_ranks_across_videos() -> None:
    ap = FrameAP()
    ap.add(np.array([[0.9, 0.1], [0.2, 0.1]]), np.array([[True, False], [False, False]]))
    ap.add(np.array([[0.3, 0.1]]), np.array([[True, False]]))
    ap.add(np.array([[0.8, 0.1]]), np.array([[False, False]]))
    first, second = ap.per_class()
    assert first == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert np.isnan(second)


def test_accuracy_takes_any_label_and_the_lowest_index_of_equals() -> None:
    accuracy = Accuracy()
    scores = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.1, 0.2, 0.9], [0.9, 0.1, 0.1]])
    labels = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 1], [0, 0, 0]], dtype=bool)
    accuracy.add(scores, labels)
    assert accuracy.percent == pytest.approx(100 * 2 / 3)  # the frame without labels is not asked


SETS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))


@given(SETS, st.randoms())
def test_set_agreement_is_the_mean_over_frames(labels: np.ndarray, random) -> None:
    predicted = labels ^ (np.array([[random.random() < 0.3 for _ in row] for row in labels]))
    exact, jaccard, f1 = [], [], []
    for p, y in zip(
        map(set, map(np.flatnonzero, predicted)), map(set, map(np.flatnonzero, labels)), strict=True
    ):
        exact.append(p == y)
        jaccard.append(len(p & y) / len(p | y) if p | y else 1)
        f1.append(2 * len(p & y) / (len(p) + len(y)) if p | y else 1)
    agreement = SetAgreement()
    agreement.add(predicted, labels)
    got = agreement.exact, agreement.jaccard, agreement.f1
    assert got == pytest.approx(tuple(100 * np.mean(values) for values in (exact, jaccard, f1)))
