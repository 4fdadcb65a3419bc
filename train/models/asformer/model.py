"""ASFormer (Yi et al., BMVC 2021, arXiv:2110.08568): attention in windows that grow from layer to layer.

The encoder turns features into logits; each decoder refines the probabilities before it, with values from the features
of what stands before it, and trusts its attention the less the later it comes. A layer costs T · W.

As in the released code, other than in the paper's text: the W frames of a block share a window, of 2 W − 1 frames
around the block, where the paper has W frames around each; and a decoder's queries and keys are of its own stream
alone, not of the encoder's, too. Other than there, what lies outside a window has no weight in the softmax, where the
code gives it 1e-6. In the first layer W is 1, and a frame sees itself alone, for which it needs neither query nor key.

Shapes: B batch, F feature size, D width, E = D / 2 width of attention, C classes, T frames, W frames of a layer's
block. mask_BT True = real frame.
"""

from __future__ import annotations

import math

from pydantic import Field
from torch import Tensor, nn

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import DropoutRate
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.local_attention import local_attention
from rhas.train.models.layers.masking import Mask, drop, drop_channels, instance_norm, masked
from rhas.train.models.layers.pointwise import Pointwise


class ASFormerNetworkConfig(Settings):
    """The network but for the sizes that the data decides. Defaults: the paper's."""

    decoders: int = Field(3, ge=0)
    layers: int = Field(10, ge=1)
    """Of the encoder and of each decoder; the i-th has dilation 2^i and blocks of as many frames."""
    width: int = Field(64, ge=2, multiple_of=2)
    dropout: DropoutRate = 0.5
    channel_dropout: DropoutRate = 0.3
    """Of the features."""
    decay: float = Field(3.0, ge=0)
    """The attention of the k-th decoder, from 0, counts e^(−decay · k)."""


class ASFormer(nn.Module):
    """Features [B, F, T] to the logits of the encoder and of every decoder, each [B, C, T]."""

    def __init__(self, feature_size: int, classes: int, config: ASFormerNetworkConfig):
        super().__init__()
        self.channel_dropout = config.channel_dropout
        self.encoder = Stage(feature_size, classes, config, 1.0)
        self.decoders = nn.ModuleList(
            Stage(classes, classes, config, math.exp(-config.decay * k)) for k in range(config.decoders)
        )

    def forward(
        self, features_BFT: Tensor, mask_BT: Mask, link: Link = "softmax", generators: Generators | None = None
    ) -> list[Tensor]:  # fmt: skip
        """Logits of each stage [B, C, T], zero in the padding. `link`: how they become the next one's input."""
        x_BFT = masked(features_BFT, mask_BT)
        if self.training:
            x_BFT = drop_channels(x_BFT, self.channel_dropout, generators)
        logits_BCT, before_BDT = self.encoder(x_BFT, None, mask_BT, generators)
        logits = [logits_BCT]
        for decoder in self.decoders:
            labels_BCT = masked(probabilities(logits[-1], link), mask_BT)
            logits_BCT, before_BDT = decoder(labels_BCT, before_BDT, mask_BT, generators)
            logits.append(logits_BCT)
        return logits


class Stage(nn.Module):
    """Inputs [B, X, T] and, but for the encoder, the features before it [B, D, T], to logits and features."""

    def __init__(self, channels_in: int, classes: int, config: ASFormerNetworkConfig, weight: float):
        super().__init__()
        self.conv_in = Pointwise(channels_in, config.width)
        self.layers = nn.ModuleList(
            Layer(config.width, 2**i, weight, config.dropout) for i in range(config.layers)
        )
        self.conv_out = Pointwise(config.width, classes)

    def forward(
        self, inputs_BXT: Tensor, before_BDT: Tensor | None, mask_BT: Mask, generators: Generators | None
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, C, T] and features [B, D, T], both zero in the padding."""
        x_BDT = masked(self.conv_in(inputs_BXT), mask_BT)
        for layer in self.layers:
            x_BDT = layer(x_BDT, before_BDT, mask_BT, generators)
        return masked(self.conv_out(x_BDT), mask_BT), x_BDT


class Layer(nn.Module):
    """x + W(h + weight · attention(norm(h))), where h is the ReLU of a dilated convolution of x."""

    def __init__(self, width: int, dilation: int, weight: float, dropout: float):
        super().__init__()
        self.weight, self.dropout = weight, dropout
        self.conv = DilatedConv(width, 3, dilation)
        self.attention = WindowAttention(width, dilation)
        self.out = Pointwise(width, width)

    def forward(
        self, x_BDT: Tensor, before_BDT: Tensor | None, mask_BT: Mask, generators: Generators | None
    ) -> Tensor:
        """[B, D, T], zero in the padding, as x has to be. Values come from `before`, where there is a stage before."""
        inner_BDT = self.conv(x_BDT).relu()
        attended_BDT = self.attention(instance_norm(inner_BDT, mask_BT), before_BDT, mask_BT)
        new_BDT = self.out(inner_BDT + self.weight * attended_BDT)
        if self.training:
            new_BDT = drop(new_BDT, self.dropout, generators)
        return masked(x_BDT + new_BDT, mask_BT)


class WindowAttention(nn.Module):
    """One head, for blocks of W frames that share a window, from W / 2 before the block to W / 2 − 1 behind it."""

    def __init__(self, width: int, block: int):
        super().__init__()
        self.block = block
        self.query = Pointwise(width, width // 2) if block > 1 else None
        self.key = Pointwise(width, width // 2) if block > 1 else None
        self.value = Pointwise(width, width // 2)
        self.out = Pointwise(width // 2, width)

    def forward(self, x_BDT: Tensor, before_BDT: Tensor | None, mask_BT: Mask) -> Tensor:
        """[B, D, T]; what it is in the padding doesn't matter."""
        mixed_BET = self.value(x_BDT if before_BDT is None else before_BDT)
        if self.query is not None and self.key is not None:
            half = self.block // 2
            mixed_BET = local_attention(
                self.query(x_BDT), self.key(x_BDT), mixed_BET, mask_BT, half, half - 1, self.block
            )
        return self.out(mixed_BET.relu())
