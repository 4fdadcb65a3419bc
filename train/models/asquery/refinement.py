"""Scores that hold from one boundary to the next: ASQuery's refinement.

The released code gives all frames between two boundaries the class that most of them have. That is `votes`, as a share;
where a frame may have several classes, each class's scores become their mean, and stay scores.

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.asquery.config import RefinementConfig
from rhas.train.models.layers.masking import Mask, masked


def boundary_peaks(scores_BT: Tensor, mask_BT: Mask, config: RefinementConfig) -> Tensor:
    """Which frames are the last before a boundary, bool [B, T]: those whose score is the highest around.

    Neither the first frame of a video nor its last two.
    """
    if mask_BT is not None:
        scores_BT = scores_BT.masked_fill(~mask_BT, -1)
    reach, T = config.window // 2, scores_BT.shape[1]
    highest_BT = F.max_pool1d(scores_BT[:, None], config.window, 1, padding=reach)[:, 0]
    at_T = torch.arange(T, device=scores_BT.device)
    end = T if mask_BT is None else mask_BT.sum(1, keepdim=True)
    inside = (at_T > 0) & (at_T < end - 2)
    return (scores_BT == highest_BT) & (scores_BT >= config.threshold) & inside


def means_between(scores_BCT: Tensor, last_BT: Tensor, mask_BT: Mask) -> Tensor:
    """The mean of each class over each segment [B, C, T], zero in the padding; `last_BT` marks where segments end."""
    number_BT = last_BT.cumsum(1) - last_BT.long()  # of each frame's segment
    index_BCT = number_BT[:, None].expand_as(scores_BCT)
    real_BCT = masked(torch.ones_like(scores_BCT), mask_BT)
    sums_BCS, frames_BCS = (
        torch.zeros_like(scores_BCT).scatter_add(2, index_BCT, series) for series in (scores_BCT * real_BCT, real_BCT)
    )  # fmt: skip
    return (sums_BCS / frames_BCS.clamp(min=1)).gather(2, index_BCT) * real_BCT


def votes(scores_BCT: Tensor) -> Tensor:
    """1 for the best class of each frame, the first one of equals, else 0 [B, C, T]."""
    return torch.zeros_like(scores_BCT).scatter(1, scores_BCT.argmax(1, keepdim=True), 1)
