"""ASQuery's losses: focal and dice on the scores of classes, binary cross entropy on the curve of boundaries.

Each is one number per video, a mean over the frames of `mask_BT`. In the released code the focal loss is a mean over
all frames of a batch, where a long video weighs more than a short one; here it is a mean over videos, as every loss.
Any number of classes may be in a frame.

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.asquery.config import BoundaryTargetConfig
from rhas.train.models.layers.precision import in_float32
from rhas.train.models.losses import frame_mean

EPS = 2e-6  # of the dice loss


@in_float32
def focal_loss(
    logits_BCT: Tensor, y_BCT: Tensor, mask_BT: Tensor, class_weight_C: Tensor, alpha: float, gamma: float
) -> Tensor:
    """α_t (1 − p_t)^γ BCE, summed over classes [B] (Lin et al., 2017, arXiv:1708.02002, Eq. 5).

    p_t is the score of what is true, α_t is α where a class is in the frame and 1 − α where not. The class weight is
    that of the class's positive frames.
    """
    cross_entropy_BCT = F.binary_cross_entropy_with_logits(
        logits_BCT, y_BCT, reduction="none", pos_weight=class_weight_C[:, None]
    )
    p_BCT = logits_BCT.sigmoid()
    wrong_BCT = p_BCT * (1 - y_BCT) + (1 - p_BCT) * y_BCT
    alpha_BCT = alpha * y_BCT + (1 - alpha) * (1 - y_BCT)
    return frame_mean((alpha_BCT * wrong_BCT**gamma * cross_entropy_BCT).sum(1), mask_BT)


@in_float32
def dice_loss(logits_BCT: Tensor, y_BCT: Tensor, mask_BT: Tensor) -> Tensor:
    """1 − 2 Σ p y / (Σ p² + Σ y²), sums over frames, mean over the classes that a video has [B]; 0 if it has none."""
    counts_B1T = mask_BT[:, None].to(logits_BCT.dtype)
    p_BCT, y_BCT = logits_BCT.sigmoid() * counts_B1T, y_BCT * counts_B1T
    both_BC = 2 * (p_BCT * y_BCT).sum(2)
    dice_BC = 1 - both_BC / (p_BCT.square().sum(2) + y_BCT.square().sum(2) + EPS)
    return frame_mean(dice_BC, (y_BCT > 0).any(2))


@in_float32
def boundary_loss(logits_BT: Tensor, curve_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Binary cross entropy against the curve [B]."""
    terms_BT = F.binary_cross_entropy_with_logits(logits_BT, curve_BT, reduction="none")
    return frame_mean(terms_BT, mask_BT)


def boundary_curve(labels_BCT: Tensor, valid_BT: Tensor, config: BoundaryTargetConfig) -> Tensor:
    """A Gaussian around the last frame before each change of the label set, in [0, 1] [B, T].

    Where two reach, the later one counts. To or from a frame that isn't valid there is no change.
    """
    T = labels_BCT.shape[2]
    differ_BP = (labels_BCT[:, :, 1:] != labels_BCT[:, :, :-1]).any(1)
    changes_BT = F.pad(differ_BP & valid_BT[:, 1:] & valid_BT[:, :-1], (0, 1))
    at_T = torch.arange(T, device=labels_BCT.device)
    far = T + config.reach + 1  # farther than any change can be
    until_BT = torch.where(changes_BT, at_T, -far).cummax(1).values  # the last change up to each frame
    last_BT = until_BT[:, (at_T + config.reach).clamp(max=T - 1)]
    distance_BT = at_T - last_BT
    curve_BT = torch.exp(-distance_BT.square() / (2 * config.sigma**2))
    return torch.where(distance_BT <= config.reach, curve_BT, 0.0)
