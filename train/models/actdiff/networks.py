"""Encoder and denoising decoder of ActDiff (Liu et al., 2023, arXiv:2303.17959, Section 4).

The encoder turns features into logits and into the condition, the outputs of a few named layers side by side.
The decoder turns noisy labels, a time step and the condition into logits. Both are stacks of `ActDiffLayer`.
What is done with them, diffusion and masking of the condition, is in `rhas.train.models.actdiff.model`.

Shapes: B batch, F feature size, D width, N channels of the condition, C classes, T frames, E time embedding.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import DecoderConfig, EncoderConfig
from rhas.train.models.actdiff.layer import ActDiffLayer
from rhas.train.models.layers.dilated_attention import QueryKey
from rhas.train.models.layers.masking import Mask, drop, drop_channels, drop_frames, masked
from rhas.train.models.layers.pointwise import Pointwise, pointwise


class Encoder(nn.Module):
    """Features [B, F, T] to logits [B, C, T] and condition [B, N, T]."""

    def __init__(self, feature_size: int, classes: int, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.conv_in = Pointwise(feature_size, config.width)
        self.layers = nn.ModuleList(
            ActDiffLayer(config.width, config.kernel, 2**i, config.dropout, 0, config.position_bias)
            for i in range(config.layers)
        )
        self.conv_out = Pointwise(config.width, classes)

    def forward(
        self, features_BFT: Tensor, mask_BT: Mask, generators: Generators | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, C, T] and condition [B, N, T], zero in the padding. `generators` has the dropouts."""
        x_BFT = masked(features_BFT, mask_BT)
        if self.training:
            x_BFT = drop_channels(x_BFT, self.config.channel_dropout, generators)
            x_BFT = drop_frames(x_BFT, self.config.temporal_dropout, generators)
        x_BDT = masked(self.conv_in(x_BFT), mask_BT)
        outputs = []
        for layer in self.layers:
            x_BDT = layer(x_BDT, mask_BT, generators=generators)
            outputs.append(x_BDT)
        condition_BNT = torch.cat([outputs[i] for i in self.config.condition_layers], dim=1)
        return masked(self.conv_out(x_BDT), mask_BT), condition_BNT


class Projected(NamedTuple):
    """What a decoder makes of a condition: the same for all time steps, so made once."""

    attention: list[QueryKey]  # for each layer
    input_BDT: Tensor | None


class Decoder(nn.Module):
    """Noisy labels [B, C, T], time steps [B] and condition [B, N, T], once projected, to logits [B, C, T]."""

    def __init__(self, classes: int, condition_channels: int, config: DecoderConfig):
        super().__init__()
        width, time_width = config.width, config.time_width
        self.time_mlp = nn.Sequential(
            nn.Linear(time_width, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU()
        )
        self.time_projection = nn.Linear(time_width, width)
        self.condition_dropout = config.condition_dropout
        self.conv_in = Pointwise(classes, width)
        self.condition_in = Pointwise(condition_channels, width) if config.condition_input else None
        self.layers = nn.ModuleList(
            ActDiffLayer(width, config.kernel, 2**i, config.dropout, condition_channels, config.position_bias)
            for i in range(config.layers)
        )
        self.conv_out = Pointwise(width, classes)

    def project(self, condition_BNT: Tensor, generators: Generators | None = None) -> Projected:
        """What `forward` takes in the condition's place. `generators` has its dropout, in training mode only."""
        attentions = [cast(ActDiffLayer, layer).attention for layer in self.layers]
        entering = None if self.condition_in is None else self.condition_in(condition_BNT)
        if self.training and self.condition_dropout > 0:
            layers: list[QueryKey] = []
            for attention in attentions:
                dropped_BNT = drop(condition_BNT, self.condition_dropout, generators)
                query, key = pointwise(dropped_BNT, torch.cat(attention.condition_weights)).chunk(2, dim=1)
                layers.append((query, key))
            return Projected(layers, entering)
        weights = [weight for attention in attentions for weight in attention.condition_weights]
        parts = pointwise(condition_BNT, torch.cat(weights)).chunk(len(weights), dim=1)
        return Projected(list(zip(parts[::2], parts[1::2], strict=True)), entering)

    def forward(
        self, noisy_BCT: Tensor, t_B: Tensor, projected: Projected, mask_BT: Mask,
        generators: Generators | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits [B, C, T], zero in the padding. Noisy labels are in [0,1], `projected` is `project(condition)`.

        `generators` has the dropout.
        """
        time_BE = sinusoid(t_B, self.time_projection.in_features).to(noisy_BCT.dtype)
        time_BD = self.time_projection(self.time_mlp(time_BE))
        x_BDT = self.conv_in(masked(noisy_BCT, mask_BT)) + time_BD[:, :, None]
        if projected.input_BDT is not None:
            x_BDT = x_BDT + projected.input_BDT
        x_BDT = masked(x_BDT, mask_BT)
        for layer, condition in zip(self.layers, projected.attention, strict=True):
            x_BDT = layer(x_BDT, mask_BT, condition, generators)
        return masked(self.conv_out(x_BDT), mask_BT)


def sinusoid(t_B: Tensor, width: int) -> Tensor:
    """Sines, then cosines of each time step at width/2 wavelengths, 2π to 2π·10⁴ geometrically [B, E]."""
    half = width // 2
    frequency_E = torch.exp(torch.arange(half, device=t_B.device) * (-math.log(10_000) / (half - 1)))
    angle_BE = t_B[:, None].float() * frequency_E
    return torch.cat([angle_BE.sin(), angle_BE.cos()], dim=1)
