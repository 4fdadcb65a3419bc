"""What every masked layer needs: the mask as a factor, instance norm over real frames, seeded dropout.

Shapes: B batch, D channels, T frames. mask_BT is bool, True = a real frame.
"""

from __future__ import annotations

import torch
from torch import Tensor


def factor(mask_BT: Tensor, like: Tensor) -> Tensor:
    """The mask as a factor [B, 1, T] of the dtype of `like`, to be multiplied with a [B, D, T]."""
    return mask_BT[:, None].to(like.dtype)


def instance_norm(x_BDT: Tensor, mask_BT: Tensor, eps: float = 1e-5) -> Tensor:
    """Instance norm without affine parameters, each channel over the real frames of its own video.

    Equals `torch.nn.functional.instance_norm` on a video without padding. A single frame gives zeros.
    """
    real_B1T = factor(mask_BT, x_BDT)
    frames_B11 = real_B1T.sum(2, keepdim=True).clamp(min=1)
    mean_BD1 = (x_BDT * real_B1T).sum(2, keepdim=True) / frames_B11
    centred_BDT = (x_BDT - mean_BD1) * real_B1T
    variance_BD1 = centred_BDT.square().sum(2, keepdim=True) / frames_B11
    return centred_BDT * torch.rsqrt(variance_BD1 + eps)


def drop(x: Tensor, rate: float, generator: torch.Generator | None, shape: tuple[int, ...] = ()) -> Tensor:
    """Dropout that draws from `generator`, on whose device the draw happens; None is torch's global one.

    `shape` (default: that of x) broadcasts to x; what shares an entry is dropped together, so
    [B, D, 1] drops whole channels and [B, 1, T] whole frames.
    """
    if rate == 0:
        return x
    device = x.device if generator is None else generator.device
    keep = torch.rand(shape or x.shape, generator=generator, device=device) >= rate
    return x * keep.to(x.device) * (1 / (1 - rate))
