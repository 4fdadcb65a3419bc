"""ASQuery's backbone: ActionFormer's (Zhang et al., 2022, arXiv:2202.07925) with dilated convolutions.

Two convolutions, then blocks of local attention, of which the later ones each halve the frames: features at six time
scales. Where padding would leak, through biases and through pooling, it is made zero, or minus infinity, so that a
video gets the same whatever it is padded with; `leaks` leaves it as in the released code.

Shapes: B batch, F feature size, D width, T frames of a scale, S frames of the next one, T / 2 rounded up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.asquery.config import ASQueryNetworkConfig
from rhas.train.models.layers.channel_norm import ChannelNorm
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.local_attention import local_attention
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.pointwise import Pointwise

Scales = list[tuple[Tensor, Mask]]  # features [B, D, T] and mask of each time scale, the finest first


class Backbone(nn.Module):
    """Features [B, F, T] to those of every time scale."""

    def __init__(self, feature_size: int, config: ASQueryNetworkConfig):
        super().__init__()
        width, self.leaks = config.width, config.released_padding is not None
        self.convs = nn.ModuleList(
            DilatedConv(width, 3, dilation, width if i else feature_size, bias=False)
            for i, dilation in enumerate(config.conv_dilations)
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in config.conv_dilations)
        self.stem = nn.ModuleList(Block(config, dilation, 1) for dilation in config.stem_dilations)
        self.branch = nn.ModuleList(Block(config, dilation, 2) for dilation in config.branch_dilations)
        for module in self.modules():
            if isinstance(module, Pointwise) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, features_BFT: Tensor, mask_BT: Mask) -> Scales:
        """Zero in the padding."""
        x_BDT = masked(features_BFT, mask_BT)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x_BDT = norm(masked(conv(x_BDT), mask_BT)).relu()
            if not self.leaks:
                x_BDT = masked(x_BDT, mask_BT)
        x_BDT = x_BDT + masked(positions(x_BDT), mask_BT)
        for block in self.stem:
            x_BDT, mask_BT = block(x_BDT, mask_BT)
        scales = [(x_BDT, mask_BT)]
        for block in self.branch:
            x_BDT, mask_BT = block(x_BDT, mask_BT)
            scales.append((x_BDT, mask_BT))
        return scales


class Block(nn.Module):
    """A transformer's block, norms first, whose attention is local; with stride 2 every second frame stays."""

    def __init__(self, config: ASQueryNetworkConfig, dilation: int, stride: int):
        super().__init__()
        width, self.stride, self.leaks = config.width, stride, config.released_padding is not None
        self.norm_in = ChannelNorm(width)
        self.attention = LocalAttention(config, dilation, stride)
        self.norm_out = ChannelNorm(width)
        self.mlp = nn.Sequential(Pointwise(width, 4 * width), nn.GELU(), Pointwise(4 * width, width))

    def forward(self, x_BDT: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        """[B, D, S], zero in the padding, and its mask."""
        mask_BS = mask_BT if mask_BT is None or self.stride == 1 else mask_BT[:, ::2]
        z_BDT = self.norm_in(x_BDT)
        if not self.leaks:
            z_BDT = masked(z_BDT, mask_BT)
        y_BDS = self._kept(x_BDT, mask_BT, mask_BS) + self.attention(z_BDT, mask_BS)
        return y_BDS + masked(self.mlp(self.norm_out(y_BDS)), mask_BS), mask_BS

    def _kept(self, x_BDT: Tensor, mask_BT: Mask, mask_BS: Mask) -> Tensor:
        """What goes past the attention [B, D, S]: x, or the highest of three neighbours."""
        if self.stride == 1:
            return masked(x_BDT, mask_BT)
        if mask_BT is not None and not self.leaks:  # not zero, which may be higher than what is real
            x_BDT = x_BDT.masked_fill(~mask_BT[:, None], -torch.inf)
        pooled_BDS = F.max_pool1d(x_BDT, 3, 2, padding=1)
        return pooled_BDS if mask_BS is None else pooled_BDS.masked_fill(~mask_BS[:, None], 0)


class LocalAttention(nn.Module):
    """Attention within a window, with a learned bias for each head and distance.

    Queries, keys and values are made by depthwise convolutions, which also take every second frame if `stride` is 2.
    """

    def __init__(self, config: ASQueryNetworkConfig, dilation: int, stride: int):
        super().__init__()
        width = config.width
        self.heads, self.reach = config.heads, config.window // 2
        self.query, self.key, self.value = (Projection(width, dilation, stride) for _ in range(3))
        self.bias_HW = nn.Parameter(torch.randn(config.heads, config.window) * math.sqrt(2 / width))
        self.out = Pointwise(width, width)

    def forward(self, z_BDT: Tensor, mask_BS: Mask) -> Tensor:
        """[B, D, S], zero in the padding."""
        q_BDS, k_BDS, v_BDS = (make(z_BDT, mask_BS) for make in (self.query, self.key, self.value))
        mixed_BDS = local_attention(
            q_BDS, k_BDS, v_BDS, mask_BS, self.reach, self.reach, heads=self.heads, bias_HW=self.bias_HW
        )
        return masked(self.out(mixed_BDS), mask_BS)


class Projection(nn.Module):
    """A depthwise convolution, a norm and a 1×1 convolution [B, D, S]."""

    def __init__(self, width: int, dilation: int, stride: int):
        super().__init__()
        self.conv = nn.Conv1d(
            width, width, 3, stride, padding=dilation, dilation=dilation, groups=width, bias=False
        )
        self.norm = ChannelNorm(width)
        self.linear = Pointwise(width, width)

    def forward(self, z_BDT: Tensor, mask_BS: Mask) -> Tensor:
        """[B, D, S]; what it is in the padding doesn't matter to attention."""
        projected_BDS: Tensor = self.linear(self.norm(masked(self.conv(z_BDT), mask_BS)))
        return projected_BDS


def positions(like_BDT: Tensor) -> Tensor:
    """Sines and cosines of each frame's number, in turns, over √D [1, D, T]: for any number of frames."""
    D, T = like_BDT.shape[1:]
    # θ_i = 10000^(−2i/D), and of a pair of channels the same.
    turn_D1 = torch.arange(D, device=like_BDT.device)[:, None]
    frequency_D1 = torch.exp((turn_D1 // 2 * 2) * (-math.log(10_000) / D))
    angle_DT = torch.arange(T, device=like_BDT.device) * frequency_D1
    waves_DT = torch.where(turn_D1 % 2 == 0, angle_DT.sin(), angle_DT.cos())
    return (waves_DT / math.sqrt(D)).to(like_BDT.dtype)[None]
