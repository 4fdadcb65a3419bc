"""The frequency condition of HopaDIFF (Eq. 6): extra condition channels from a Fourier transform along time.

Three variants, for the ablation to choose between:
- `dft`: the paper's. The orthonormal real DFT of each channel; coefficient k stands at frame k, so what a
  frame gets says nothing about that frame's time.
- `bands`: the spectrum is cut into bands and each is transformed back, so every frame gets its own slow,
  middle and fast parts. They add up to the features. Limits are in frames, the same for every length.
- `none`: no extra channels.
Each video is transformed over its own real frames, so that padding and the rest of the batch don't matter.

Shapes: B batch, D channels, T frames, L real frames of one video.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.precision import in_float32


class FourierConfig(Settings):
    """Which frequency condition the decoders get."""

    variant: Literal["dft", "bands", "none"] = "dft"
    band_limits: tuple[Annotated[float, Field(gt=2)], ...] = Field((64.0, 8.0), min_length=1)
    """Where `bands` cuts, in frames per cycle, slowest first: slower than 64 frames, 64 to 8, faster than 8. Two
    frames per cycle is the fastest that frames can show."""

    @field_validator("band_limits")
    @classmethod
    def _falling(cls, limits: tuple[float, ...]) -> tuple[float, ...]:
        if any(a <= b for a, b in pairwise(limits)):
            raise ValueError("falling numbers")
        return limits


class FourierCondition(nn.Module):
    """Frequency channels of a branch's features. `channels(D)` says how many there are."""

    def __init__(self, config: FourierConfig):
        super().__init__()
        self.config = config

    def channels(self, width: int) -> int:
        """How many channels come out for `width` channels in."""
        return {"dft": 1, "bands": len(self.config.band_limits) + 1, "none": 0}[self.config.variant] * width

    def forward(self, x_BDT: Tensor, mask_BT: Mask) -> Tensor:
        """[B, channels(D), T] float32, zero in the padding; for `bands` the slowest band's D channels come first."""
        if self.config.variant == "none":
            return x_BDT[:, :0].float()
        if self.config.variant == "dft":
            return in_float32(real_dft)(x_BDT, mask_BT)
        return in_float32(bands)(x_BDT, mask_BT, self.config.band_limits)


def real_dft(x_BDT: Tensor, mask_BT: Mask = None) -> Tensor:
    """The orthonormal real DFT of each video [B, D, T]: mean, then √2 Re and √2 Im of each frequency, rising.

    For even L the last coefficient is the fastest frequency's, which has no imaginary part. Lengths of
    vectors and angles between them stay as they are (Parseval).
    """
    lengths_B = _lengths(x_BDT, mask_BT)
    at_T = torch.arange(x_BDT.shape[2], device=x_BDT.device)
    parts_BDT2 = torch.view_as_real(_dft(x_BDT, mask_BT)[:, :, (at_T + 1) // 2])
    own_BDT = torch.where(at_T % 2 == 1, parts_BDT2[..., 0], parts_BDT2[..., 1])
    own_BDT = torch.where(at_T == 0, parts_BDT2[..., 0], own_BDT)
    lengths_B1 = lengths_B[:, None]
    alone_BT = (at_T == 0) | ((at_T == lengths_B1 - 1) & (lengths_B1 % 2 == 0))
    square_BT = torch.where(alone_BT, 1, 2).to(x_BDT.dtype) / lengths_B1
    return masked(own_BDT * square_BT.sqrt()[:, None], mask_BT)


def bands(x_BDT: Tensor, mask_BT: Mask, limits: tuple[float, ...]) -> Tensor:
    """The parts of x in each frequency band, slowest first [B, D·(len(limits) + 1), T]; they sum to x."""
    lengths_B1 = _lengths(x_BDT, mask_BT)[:, None]
    spectrum_BDT = _dft(x_BDT, mask_BT)
    at_T = torch.arange(x_BDT.shape[2], device=x_BDT.device)
    # Frequency f makes f cycles in the video, as its mirror L − f does: slower than a limit of p frames if L / f > p.
    cycles_BT = torch.minimum(at_T, lengths_B1 - at_T).clamp(min=0)
    band_BT = torch.stack([cycles_BT * limit >= lengths_B1 for limit in limits]).sum(0)
    parts: list[Tensor] = []
    for band in range(len(limits)):
        inside_BDT = spectrum_BDT * (band_BT == band)[:, None]
        parts.append(masked(_dft(inside_BDT, mask_BT, inverse=True).real, mask_BT))
    parts.append(masked(x_BDT, mask_BT) - torch.stack(parts).sum(0))
    return torch.cat(parts, 1)


def _lengths(x_BDT: Tensor, mask_BT: Mask) -> Tensor:
    """[B]."""
    if mask_BT is None:
        return torch.full(x_BDT.shape[:1], x_BDT.shape[2], device=x_BDT.device)
    return mask_BT.sum(1)


def _dft(x_BDT: Tensor, mask_BT: Mask, inverse: bool = False) -> Tensor:
    """The DFT of each video over its own L frames [B, D, T], complex; what it is behind them is open.

    Videos of different lengths in one batch: Bluestein's algorithm writes a DFT of any length as a convolution with a
    chirp, nk = (n² + k² − (k − n)²) / 2, and all of these are done by FFTs of one length.
    """
    if mask_BT is None:
        return torch.fft.ifft(x_BDT) if inverse else torch.fft.fft(x_BDT)
    T, lengths_B = x_BDT.shape[2], mask_BT.sum(1)
    at_T = torch.arange(T, device=x_BDT.device)
    # n² modulo 2L is the angle's turn, kept whole: n² in float32 would lose it after some hundred frames.
    turn_BT = (at_T * at_T) % (2 * lengths_B[:, None])
    angle_BT = math.pi * turn_BT.to(x_BDT.real.dtype) / lengths_B[:, None]
    chirp_BT = torch.polar(torch.ones_like(angle_BT), angle_BT if inverse else -angle_BT)
    size = 2 * T  # room for k − n from −T + 1 to T − 1, without wrapping round
    back_BT = torch.conj_physical(chirp_BT)
    kernel_BS = torch.cat([F.pad(back_BT, (0, size - 2 * T + 1)), back_BT[:, 1:].flip(1)], 1)
    product_BDS = (
        torch.fft.fft(masked(x_BDT, mask_BT) * chirp_BT[:, None], n=size) * torch.fft.fft(kernel_BS)[:, None]
    )
    out_BDT = torch.fft.ifft(product_BDS)[:, :, :T] * chirp_BT[:, None]
    return out_BDT / lengths_B[:, None, None] if inverse else out_BDT
