"""The losses of ActDiff (Liu et al., 2023, arXiv:2303.17959, Section 4.1), for one label per frame or several.

Each loss is one number per video, a mean over the frames of `mask_BT`: the mean over a padded batch is what
accumulating the videos one by one gives. `mask_BT` may also leave out frames without labels. The link says
how logits become labels: softmax or sigmoid (`rhas.train.models.diffusion.labels`).

Shapes: B batch, C classes, T frames, P = T − 1 pairs of neighbouring frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.models.diffusion.labels import Link, log_probabilities, probabilities
from rhas.train.models.layers.precision import in_float32

SMOOTHING_CAP = 16.0  # on a squared step of the log-probability (MS-TCN, arXiv:1903.01945, Eq. 4: τ = 4)
MARGIN = 0.01  # what a difference is kept away from 0 and 1


class LossConfig(Settings):
    """Weights of the losses on labels."""

    cross_entropy: float = Field(0.5, ge=0)
    """Over classes for link softmax, of each class by itself (binary) for sigmoid."""
    smoothing: float = Field(0.1, ge=0)
    over_classes: Literal["mean", "sum"] = "mean"
    """How binary cross entropies of a frame become one: as a mean, the more classes there are, the less each weighs
    beside the boundary loss; as a sum, which cross entropy over classes is, they weigh as much as they would alone."""

    @property
    def weights(self) -> dict[str, float]:
        """By the kind of loss."""
        return {"cross_entropy": self.cross_entropy, "smoothing": self.smoothing}


class BoundaryConfig(Settings):
    """The curve that says how close a frame is to a change of labels (`rhas.train.data.targets`), and its uses."""

    sigma: float = Field(1.0, gt=0)
    """Width of its Gaussians, in frames of the features."""
    weight: float = Field(0.1, ge=0)
    """Of the decoder's boundary loss."""
    target: Literal["curve", "labels"] = "curve"
    """Of the boundary loss. The curve is ActDiff's, for labels one at a time: of sets of labels it asks too much.
    `labels`: how much each class changes in the true labels, so that these are its optimum."""
    kept_below: float = Field(0.3, gt=0, le=1)
    """Masks of kind `boundary` keep the frames where the curve is below this."""


@in_float32
def label_loss(
    logits_BCT: Tensor, y_BCT: Tensor, mask_BT: Tensor, link: Link, class_weight_C: Tensor | None = None,
    over_classes: str = "mean",
) -> Tensor:  # fmt: skip
    """Cross entropy [B] for softmax, −Σ_c w_c y_c log p_c; for sigmoid binary cross entropies, their mean or sum.

    y is in [0,1] and may be soft; it is not renormalised. The class weight is that of the class under softmax
    and that of the class's positive frames under sigmoid.
    """
    if link == "softmax":
        terms_BCT = -y_BCT * logits_BCT.log_softmax(1)
        if class_weight_C is not None:
            terms_BCT = terms_BCT * class_weight_C[:, None]
        return frame_mean(terms_BCT.sum(1), mask_BT)
    weight_C1 = None if class_weight_C is None else class_weight_C[:, None]
    terms_BCT = F.binary_cross_entropy_with_logits(logits_BCT, y_BCT, reduction="none", pos_weight=weight_C1)
    terms_BT = terms_BCT.sum(1) if over_classes == "sum" else terms_BCT.mean(1)
    return frame_mean(terms_BT, mask_BT)


@in_float32
def smoothing_loss(logits_BCT: Tensor, mask_BT: Tensor, link: Link, both: bool = False) -> Tensor:
    """clamp((log p_t − stopgrad log p_{t−1})², 0, 16), mean over classes and pairs [B].

    `both`: without stopgrad, so that both frames of a pair are pulled.
    """
    log_BCT = log_probabilities(logits_BCT, link)
    before_BCP = log_BCT[:, :, :-1] if both else log_BCT[:, :, :-1].detach()
    steps_BCP = (log_BCT[:, :, 1:] - before_BCP).square().clamp(max=SMOOTHING_CAP)
    return frame_mean(steps_BCP.mean(1), _pairs(mask_BT))


@in_float32
def boundary_loss(logits_BCT: Tensor, boundary_B1T: Tensor, mask_BT: Tensor, link: Link) -> Tensor:
    """BCE of how much neighbouring frames differ against the boundary curve at the later one [B].

    The difference is 1 − ⟨p_t, stopgrad p_{t−1}⟩ for softmax and 1 − the cosine of the two for sigmoid, whose
    vectors don't sum to one. The latter is squeezed into [.01, .99]: near an angle θ of 0 the loss goes like
    −2b log θ, and without a margin two equal frames at a boundary gave gradients above 10⁴.
    """
    now_BCP = probabilities(logits_BCT[:, :, 1:], link)
    before_BCP = probabilities(logits_BCT[:, :, :-1], link).detach()
    if link == "softmax":
        differ_BP = 1 - (now_BCP * before_BCP).sum(1)
    else:
        differ_BP = 1 - F.cosine_similarity(now_BCP, before_BCP)
        differ_BP = MARGIN + (1 - 2 * MARGIN) * differ_BP
    differ_BP = differ_BP.clamp(0, 1)  # rounding can leave it just outside
    terms_BP = F.binary_cross_entropy(differ_BP, boundary_B1T[:, 0, 1:].to(differ_BP.dtype), reduction="none")
    return frame_mean(terms_BP, _pairs(mask_BT))


@in_float32
def change_loss(logits_BCT: Tensor, y_BCT: Tensor, mask_BT: Tensor, link: Link) -> Tensor:
    """BCE of |p_t − stopgrad p_{t−1}| against |y_t − y_{t−1}| of each class, summed over classes [B].

    A boundary loss for sets of labels: least where p is the truth, whatever the labels, and a class that goes on
    is not asked to change because another one does.
    """
    p_BCT = probabilities(logits_BCT, link)
    # Away from 0 and 1, where the logarithm's gradient has no bound.
    differ_BCP = ((1 - 2 * MARGIN) * (p_BCT[:, :, 1:] - p_BCT[:, :, :-1].detach()).abs() + MARGIN).clamp(0, 1)
    changed_BCP = (y_BCT[:, :, 1:] - y_BCT[:, :, :-1]).abs()
    terms_BCP = F.binary_cross_entropy(differ_BCP, changed_BCP, reduction="none")
    return frame_mean(terms_BCP.sum(1), _pairs(mask_BT))


def actdiff_losses(
    encoder_BCT: Tensor, decoder_BCT: Tensor, y_BCT: Tensor, boundary_B1T: Tensor, mask_BT: Tensor,
    link: Link, class_weight_C: Tensor | None = None, over_classes: str = "mean", boundary_target: str = "curve",
) -> dict[str, Tensor]:  # fmt: skip
    """The losses [B] of one step by name, unweighted; y may be softened labels. The encoder has no boundary loss."""
    if boundary_target == "labels":
        boundary_B = change_loss(decoder_BCT, y_BCT, mask_BT, link)
    else:
        boundary_B = boundary_loss(decoder_BCT, boundary_B1T, mask_BT, link)
    encoder = encoder_losses(encoder_BCT, y_BCT, mask_BT, link, class_weight_C, over_classes)
    decoder = encoder_losses(decoder_BCT, y_BCT, mask_BT, link, class_weight_C, over_classes)
    return {
        **{f"encoder_{name}": loss_B for name, loss_B in encoder.items()},
        **{f"decoder_{name}": loss_B for name, loss_B in decoder.items()},
        "decoder_boundary": boundary_B,
    }


def encoder_losses(
    logits_BCT: Tensor, y_BCT: Tensor, mask_BT: Tensor, link: Link, class_weight_C: Tensor | None = None,
    over_classes: str = "mean",
) -> dict[str, Tensor]:  # fmt: skip
    """The losses [B] of a head by itself, by kind."""
    return {
        "cross_entropy": label_loss(logits_BCT, y_BCT, mask_BT, link, class_weight_C, over_classes),
        "smoothing": smoothing_loss(logits_BCT, mask_BT, link),
    }


def weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The losses [B] of a step as means over its videos, weighted by the kind with which their names end.

    A weight of 0 leaves a loss out.
    """
    weight_of = {name: next(w for kind, w in weights.items() if name.endswith(kind)) for name in losses}
    return {name: weight_of[name] * loss_B.mean() for name, loss_B in losses.items() if weight_of[name]}


def class_weights(positives_C: Tensor, frames: int, link: Link, bound: float | None = None) -> Tensor:
    """Weights [C] that balance classes, from how many of all `frames` are of each class: n̄ / (n_c + 10).

    n̄ is frames / C under softmax, where they are N / ((n_c + 10)·C), and the mean of n_c under sigmoid. The 10 keeps
    classes that are next to absent from an endless weight; `bound` keeps all within [1/bound, bound].
    """
    mean = frames / len(positives_C) if link == "softmax" else positives_C.mean()
    weights_C = mean / (positives_C + 10)
    return weights_C if bound is None else weights_C.clamp(1 / bound, bound)


def _pairs(mask_BT: Tensor) -> Tensor:
    """Which pairs of neighbouring frames are both in the mask [B, P]."""
    return mask_BT[:, 1:] & mask_BT[:, :-1]


def frame_mean(terms_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over the frames in the mask [B]; 0 if there are none."""
    # `where`, not a product: terms outside the mask may be infinite.
    return torch.where(mask_BT, terms_BT, 0).sum(1) / mask_BT.sum(1).clamp(min=1)
