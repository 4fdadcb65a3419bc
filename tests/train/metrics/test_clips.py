"""RAVAR's metrics: the released evaluation's numbers, scikit-learn's, and ones that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from rhas.manifests.common.errors import InputError
from rhas.train.metrics.clips import auroc, constant, gated, iou, macro, measure, per_class, weighted
from rhas.train.metrics.frames import average_precision

FILE = Path(__file__).parents[4] / "shared" / "golden" / "ravar_metrics.safetensors"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not FILE.is_file():
        pytest.skip(f"{FILE} is not here")
    return load_file(FILE)


def test_the_released_evaluations_numbers(golden: dict[str, np.ndarray]) -> None:
    scores, labels = golden["in/scores"], golden["in/labels"].astype(bool)
    box, true_box = golden["in/boxes"], golden["in/true_boxes"]
    found, iou_N = measure(scores, labels, box, true_box), iou(box, true_box)
    np.testing.assert_allclose(iou_N, golden["out/iou"], atol=1e-6)

    def expect(value: float | None, name: str) -> None:
        expected = float(golden[f"out/{name}"])
        assert value == pytest.approx(100 * expected if expected <= 1 else expected, abs=1e-3), name

    expect(found.mIoU, "mIOU")
    expect(found.weighted_mAP, "mAP")
    expect(found.weighted_auroc, "AUROC")
    expect(found.mAP, "mAP_macro")
    expect(found.auroc, "AUROC_macro")
    for to, name in ((0.0, "gated"), (-np.inf, "gated_low")):
        own = gated(scores, iou_N, to)
        expect(weighted(per_class(average_precision, own, labels), labels), f"mAP_{name}")
        expect(weighted(per_class(auroc, own, labels), labels), f"AUROC_{name}")
    prior, _ = constant(labels, true_box, len(labels))
    nothing = measure(prior, labels, None, true_box)
    expect(nothing.weighted_mAP, "mAP_constant")
    expect(nothing.mAP, "mAP_constant_macro")


def test_boxes_that_can_be_counted_by_hand() -> None:
    true = np.tile([0.0, 0.0, 0.5, 0.5], (5, 1))
    found = np.array([
        [0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.6, 0.6, 0.9, 0.9], [0.5, 0.5, 0, 0], [-0.5, 0, 0.5, 0.5],
    ])  # fmt: skip
    np.testing.assert_allclose(iou(found, true), [1, 1 / 3, 0, 0, 0.5])


def test_auroc_counts_pairs_and_ties_half() -> None:
    scores, positive = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert auroc(scores, positive) == pytest.approx(100 * 3.5 / 4)
    assert np.isnan(auroc(scores, np.ones(4, bool))) and np.isnan(auroc(scores, np.zeros(4, bool)))


def test_only_right_boxes_count_and_a_wrong_one_never_outranks() -> None:
    """Two clips of the class with negative logits: the one with a wrong box ranks last."""
    scores, labels = np.array([[-1.0], [-2.0], [-3.0]]), np.array([[True], [False], [True]])
    true = np.tile([0.0, 0.0, 0.5, 0.5], (3, 1))
    wrong = true.copy()
    wrong[0] = [0.5, 0.5, 1, 1]
    found = measure(scores, labels, wrong, true)
    assert found.mAP == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert found.mAP_right_box == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    released = gated(scores, iou(wrong, true), 0)
    assert (
        macro(per_class(average_precision, released, labels)) == found.mAP
    )  # the wrong box as the best of all


def test_a_constant_has_each_classs_share() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((500, 3)) < [0.6, 0.1, 0.02]
    box = rng.random((500, 4))
    scores, boxes = constant(labels, box, 500)
    found = measure(scores, labels, boxes, box)
    shares = labels.mean(0)
    assert found.mAP == pytest.approx(100 * shares.mean(), abs=1e-4) and found.auroc == pytest.approx(50)
    expected = (shares * labels.sum(0)).sum() / labels.sum()
    assert found.weighted_mAP == pytest.approx(100 * expected, abs=1e-4)
    np.testing.assert_allclose(boxes[0], box.mean(0), rtol=1e-6)


def test_numbers_that_are_none_are_refused() -> None:
    labels, box = np.ones((2, 1), bool), np.zeros((2, 4))
    with pytest.raises(InputError, match="test split: got 'NaN or infinity': expected finite scores"):
        measure(np.array([[0.1], [np.nan]]), labels, None, box, "test split")
