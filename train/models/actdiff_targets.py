"""What ActDiff's losses are held against, besides the labels: softened labels and boundary curves.

Shapes: B batch, C classes, T frames. y_BCT is 0 or 1, one or several ones per frame; mask_BT True = real.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soften(y_BCT: Tensor, mask_BT: Tensor, sigma: float) -> Tensor:
    """Labels smoothed along time by a Gaussian of `sigma` frames [B, C, T], cut off at 4 sigma.

    Behind each end the video goes on mirrored, the frame at the end twice: what scipy's `gaussian_filter1d`
    does by default. Each video ends where its own real frames end.
    """
    kernel_K = _gaussian(sigma).to(y_BCT)
    reach = len(kernel_K) // 2
    B, C, T = y_BCT.shape
    frames_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    phase_BX = torch.arange(-reach, T + reach, device=y_BCT.device) % (2 * frames_B1)
    mirrored_BX = torch.minimum(phase_BX, 2 * frames_B1 - 1 - phase_BX)
    longer_BCX = y_BCT.gather(2, mirrored_BX[:, None].expand(B, C, -1))
    smooth_BCT = F.conv1d(longer_BCX.flatten(0, 1)[:, None], kernel_K[None, None]).view(B, C, T)
    return smooth_BCT * mask_BT[:, None]


def boundary_curve(y_BCT: Tensor, mask_BT: Tensor, sigma: float) -> Tensor:
    """How close each frame is to a change of any label [B, 1, T], 1 at a change (ActDiff, Section 4.1).

    Both frames at a change are marked and smoothed by a Gaussian of `sigma` frames; where changes are close
    together, the curve is capped at a lone change's height; then it is divided by its maximum.
    """
    changes_BT = (y_BCT[:, :, 1:] != y_BCT[:, :, :-1]).any(1) & mask_BT[:, 1:] & mask_BT[:, :-1]
    marked_BT = F.pad(changes_BT, (1, 0)) | F.pad(changes_BT, (0, 1))
    dtype = y_BCT.dtype if y_BCT.is_floating_point() else torch.float32
    curve_B1T = soften(marked_BT[:, None].to(dtype), mask_BT, sigma)
    kernel_K = _gaussian(sigma)
    lone = (
        kernel_K[len(kernel_K) // 2 :][:2].sum().item()
    )  # on one of its two frames: its own weight and the other's
    curve_B1T = curve_B1T.clamp(max=lone)
    highest_B11 = curve_B1T.amax(2, keepdim=True)
    return curve_B1T / torch.where(highest_B11 > 0, highest_B11, 1)


def _gaussian(sigma: float) -> Tensor:
    """Gaussian weights that sum to 1, out to 4 sigma, in float64."""
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()
