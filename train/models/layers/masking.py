"""What every masked layer needs: padding set to zero, instance norm over real frames, seeded dropout.

A mask of None says that no video of the batch has padding. Whether there is any is known when a batch is put
together (`Batch.real_BT`); asking a mask on a GPU would wait for it in every layer.

Shapes: B batch, D channels, T frames. mask_BT is bool, True = a real frame.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.data.generators import Generators
from rhas.train.models.layers.precision import wide

Mask = Tensor | None


def masked(x_BDT: Tensor, mask_BT: Mask) -> Tensor:
    """x with zeros in the padding."""
    return x_BDT if mask_BT is None else x_BDT * mask_BT[:, None].to(x_BDT.dtype)


def instance_norm(x_BDT: Tensor, mask_BT: Mask, eps: float = 1e-5) -> Tensor:
    """Instance norm without affine parameters, each channel over the real frames of its own video.

    Equals `torch.nn.functional.instance_norm` on a video without padding. A single frame gives zeros. Computed in
    float32 whatever x is in: a sum over thousands of frames has no bfloat16 precision left.
    """
    wide_BDT = wide(x_BDT)
    if mask_BT is None:  # in one pass
        return F.layer_norm(wide_BDT, wide_BDT.shape[2:], eps=eps).to(x_BDT.dtype)
    real_B1T = mask_BT[:, None].to(wide_BDT.dtype)
    frames_B11 = real_B1T.sum(2, keepdim=True).clamp(min=1)
    mean_BD1 = (wide_BDT * real_B1T).sum(2, keepdim=True) / frames_B11
    centred_BDT = (wide_BDT - mean_BD1) * real_B1T
    variance_BD1 = centred_BDT.square().sum(2, keepdim=True) / frames_B11
    return (centred_BDT * torch.rsqrt(variance_BD1 + eps)).to(x_BDT.dtype)


def drop(x_BDT: Tensor, rate: float, generators: Generators | None) -> Tensor:
    """Dropout of single numbers. None for `generators` is torch's global generator, here and below."""
    if rate == 0:
        return x_BDT
    return _kept(
        x_BDT, rate, torch.rand_like(x_BDT) if generators is None else generators.uniform(x_BDT.shape[1])
    )


def drop_channels(x_BDT: Tensor, rate: float, generators: Generators | None) -> Tensor:
    """Dropout of a video's whole channels."""
    if rate == 0:
        return x_BDT
    D = x_BDT.shape[1]
    return _kept(
        x_BDT, rate, torch.rand_like(x_BDT[:, :, :1]) if generators is None else generators.uniform_rows(D)
    )


def drop_frames(x_BDT: Tensor, rate: float, generators: Generators | None) -> Tensor:
    """Dropout of whole frames."""
    if rate == 0:
        return x_BDT
    return _kept(x_BDT, rate, torch.rand_like(x_BDT[:, :1]) if generators is None else generators.uniform(1))


def drop_numbers(x: Tensor, rate: float, generators: Generators | None) -> Tensor:
    """Dropout of single numbers of a batch's only video, whatever they are of: tokens, or weights between frames."""
    if rate == 0:
        return x
    drawn = torch.rand_like(x) if generators is None else generators.uniform_rows(x.numel()).view(x.shape)
    return _kept(x, rate, drawn)


def _kept(x_BDT: Tensor, rate: float, drawn: Tensor) -> Tensor:
    """x where a number drawn from [0, 1) says so, scaled so that its expectation stays; `drawn` broadcasts to x."""
    return x_BDT * (drawn >= rate).to(x_BDT.dtype) * (1 / (1 - rate))
