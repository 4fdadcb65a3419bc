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

    def forward(self, x_BDT: Tensor, mask_BT: Tensor) -> Tensor:
        """[B, channels(D), T], zero in the padding; for `bands` the slowest band's D channels come first."""
        if self.config.variant == "none":
            return x_BDT[:, :0]
        B, _, T = x_BDT.shape
        out = []
        for b, frames in zip(range(B), mask_BT.sum(1).tolist(), strict=True):
            x_DL = x_BDT[b, :, :frames]
            y_DL = real_dft(x_DL) if self.config.variant == "dft" else bands(x_DL, self.config.band_limits)
            out.append(F.pad(y_DL, (0, T - frames)))
        return torch.stack(out)


def real_dft(x_DL: Tensor) -> Tensor:
    """The orthonormal real DFT [D, L]: mean, then √2 Re and √2 Im of each frequency, rising.

    For even L the last coefficient is the fastest frequency's, which has no imaginary part. Lengths of
    vectors and angles between them stay as they are (Parseval).
    """
    frames = x_DL.shape[1]
    spectrum_DF = torch.fft.rfft(x_DL, norm="ortho")
    pairs_DL = math.sqrt(2) * torch.view_as_real(spectrum_DF[:, 1:]).flatten(1)[:, : frames - 1]
    if frames % 2 == 0:
        pairs_DL = torch.cat([pairs_DL[:, :-1], spectrum_DF[:, -1:].real], 1)
    return torch.cat([spectrum_DF[:, :1].real, pairs_DL], 1)


def bands(x_DL: Tensor, limits: tuple[float, ...]) -> Tensor:
    """The parts of x in each frequency band, slowest first [D·(len(limits) + 1), L]; they sum to x."""
    frames = x_DL.shape[1]
    spectrum_DF = torch.fft.rfft(x_DL)
    # Frequency f makes f cycles in the video: it is slower than a limit of p frames if frames / f > p.
    cycles = torch.arange(spectrum_DF.shape[1], device=x_DL.device)
    band_F = torch.stack([cycles * limit >= frames for limit in limits]).sum(0)
    parts = [torch.fft.irfft(spectrum_DF * (band_F == i), n=frames) for i in range(len(limits) + 1)]
    return torch.cat(parts)
