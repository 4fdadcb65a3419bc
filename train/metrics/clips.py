"""Referring atomic action recognition (RAVAR) measured: classes and a box of one person in each clip.

In: scores or logits, boxes, and their truth. Out: percent, over classes of which there is a clip (and, for the AUROC,
of which there isn't one everywhere). Macro is the mean over these classes; weighted, by how many clips each has, is
what the paper of the task reports (Peng et al., arXiv:2407.01872), and decided by its few most frequent classes: what
knows nothing but their frequencies has 34.6 % weighted mAP on the labels that RefAVA trains on, and 3.6 % macro. So
that constant stands beside every number.

`mAP@IoU≥.5` counts who is recognised only where the box is right: elsewhere scores are below all others. The released
code sets them to 0 there, above the logits of what is unlikely, which `gated(…, to=0)` is.

Shapes: N clips, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.frames import NAN, average_precision
from rhas.train.metrics.video import Bools, Floats

RIGHT = 0.5  # IoU from which a box is right


@dataclass(frozen=True)
class ClipScores:
    """All in percent; NaN where there is nothing to measure. `box`: of what says no box, None."""

    mAP: float
    auroc: float
    weighted_mAP: float
    weighted_auroc: float
    mIoU: float | None
    mAP_right_box: float | None
    """mAP@IoU≥.5, macro."""
    per_class: tuple[float, ...]
    """Average precision of each class."""


def iou(found_N4: Floats, true_N4: Floats) -> NDArray[np.float64]:
    """[N] intersection over union of boxes x1 y1 x2 y2; of one whose corners are inverted, 0."""
    found_N4, true_N4 = found_N4.astype(np.float64), true_N4.astype(np.float64)
    low_N2, high_N2 = (
        np.maximum(found_N4[:, :2], true_N4[:, :2]),
        np.minimum(found_N4[:, 2:], true_N4[:, 2:]),
    )
    sides_N2 = (high_N2 - low_N2).clip(min=0)
    common_N = sides_N2.prod(1)
    areas_N = sum((box_N4[:, 2:] - box_N4[:, :2]).prod(1) for box_N4 in (found_N4, true_N4))
    return np.where(common_N > 0, common_N / np.where(common_N > 0, areas_N - common_N, 1), 0.0)


def auroc(scores_N: Floats, positive_N: Bools) -> float:
    """How often a clip of the class scores above one that isn't, ties half; NaN if either is lacking."""
    positives = int(positive_N.sum())
    negatives = len(positive_N) - positives
    if not positives or not negatives:
        return NAN
    ranks_N = rankdata(scores_N)
    above = float(ranks_N[positive_N].sum()) - positives * (positives + 1) / 2
    return 100.0 * above / (positives * negatives)


def gated(scores_NC: Floats, iou_N: NDArray[np.float64], to: float = -np.inf) -> Floats:
    """Scores where the box is right, `to` elsewhere."""
    return np.where((iou_N >= RIGHT)[:, None], scores_NC, to).astype(scores_NC.dtype)


def per_class(measure: Callable[[Floats, Bools], float], scores_NC: Floats, labels_NC: Bools) -> Floats:
    """[C]"""
    return np.array([measure(scores_NC[:, c], labels_NC[:, c]) for c in range(labels_NC.shape[1])])


def macro(values_C: Floats) -> float:
    """The mean over classes that have a value."""
    there_C = ~np.isnan(values_C)
    return float(values_C[there_C].mean()) if there_C.any() else NAN


def weighted(values_C: Floats, labels_NC: Bools) -> float:
    """The same, each class as often as it has clips."""
    there_C, counts_C = ~np.isnan(values_C), labels_NC.sum(0)
    return float(np.average(values_C[there_C], weights=counts_C[there_C])) if there_C.any() else NAN


def measure(
    scores_NC: Floats, labels_NC: Bools, box_N4: Floats | None, true_box_N4: Floats, name: str = "clips"
) -> ClipScores:
    """Raises InputError, naming `name`, for scores or boxes that aren't finite."""
    for what, array in (("scores", scores_NC), ("boxes", box_N4)):
        if array is not None and not np.isfinite(array).all():
            raise InputError(Problem(name, f"finite {what}", value="NaN or infinity"))
    precision_C, auroc_C = (per_class(one, scores_NC, labels_NC) for one in (average_precision, auroc))
    mean_iou = right = None
    if box_N4 is not None:
        iou_N = iou(box_N4, true_box_N4)
        mean_iou = 100.0 * float(iou_N.mean())
        right = macro(per_class(average_precision, gated(scores_NC, iou_N), labels_NC))
    return ClipScores(
        mAP=macro(precision_C), auroc=macro(auroc_C), weighted_mAP=weighted(precision_C, labels_NC),
        weighted_auroc=weighted(auroc_C, labels_NC), mIoU=mean_iou, mAP_right_box=right,
        per_class=tuple(precision_C.tolist()),
    )  # fmt: skip


def constant(training_labels_NC: Bools, training_box_N4: Floats, clips: int) -> tuple[Floats, Floats]:
    """Scores [N, C] and boxes [N, 4] that look at nothing: how frequent classes are, and the mean box, in training."""
    frequency_C = training_labels_NC.mean(0).astype(np.float32)
    box_4 = training_box_N4.mean(0).astype(np.float32)
    return np.tile(frequency_C, (clips, 1)), np.tile(box_4, (clips, 1))
