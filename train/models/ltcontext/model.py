"""LTContext (Bahrami et al., ICCV 2023, arXiv:2308.11358): stages of local and sparse long-term attention.

The first stage turns features into logits; each later one refines the probabilities before it, at half the width,
with values from the features of the stage before. A layer: dilated convolution, attention within windows, attention
to every G-th frame, 1×1 convolution, all residual. Without norms, as the authors train it. Nothing T×T is held:
windows cost T · W, long-term attention T² / G.

Shapes: B batch, F feature size, D width, E = D / 2 width of attention, C classes, T frames, W window, G step of the
long-term attention. mask_BT True = real frame.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import DropoutRate, Kernel
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.local_attention import attend
from rhas.train.models.layers.masking import Mask, drop, drop_channels, masked
from rhas.train.models.layers.pointwise import Pointwise


class LTContextNetworkConfig(Settings):
    """The network but for the sizes that the data decides. Defaults: the paper's."""

    stages: int = Field(4, ge=1)
    layers: int = Field(9, ge=1)
    """Of each stage; the i-th has dilation 2^i."""
    width: int = Field(64, ge=4, multiple_of=4)
    """Of the first stage, half of it in the others."""
    kernel: Kernel = 3
    window: int = Field(64, ge=2, multiple_of=2)
    """Frames whose queries share a window; its keys are twice as many."""
    long_term_step: int = Field(8, ge=1)
    dropout: DropoutRate = 0.2
    attention_dropout: DropoutRate = 0.2
    channel_dropout: DropoutRate = 0.3
    """Of the features."""


class LTContext(nn.Module):
    """Features [B, F, T] to the logits of every stage, each [B, C, T]."""

    def __init__(self, feature_size: int, classes: int, config: LTContextNetworkConfig):
        super().__init__()
        self.config = config
        self.first = Stage(feature_size, classes, config.width, config)
        self.reduce = Pointwise(config.width, config.width // 2)
        self.later = nn.ModuleList(
            Stage(classes, classes, config.width // 2, config) for _ in range(config.stages - 1)
        )

    def forward(
        self,
        features_BFT: Tensor,
        mask_BT: Mask,
        link: Link = "softmax",
        generators: Generators | None = None,
    ) -> list[Tensor]:
        """Logits of each stage [B, C, T], zero in the padding. `link`: how they become the next one's input."""
        x_BFT = masked(features_BFT, mask_BT)
        if self.training:
            x_BFT = drop_channels(x_BFT, self.config.channel_dropout, generators)
        logits_BCT, x_BDT = self.first(x_BFT, None, mask_BT, generators)
        before_BDT, logits = self.reduce(x_BDT), [logits_BCT]
        for stage in self.later:
            labels_BCT = probabilities(logits[-1], link)
            logits_BCT, before_BDT = stage(masked(labels_BCT, mask_BT), before_BDT, mask_BT, generators)
            logits.append(logits_BCT)
        return logits


class Stage(nn.Module):
    """Inputs [B, X, T] and, but for the first stage, the features before it [B, D, T], to logits and features."""

    def __init__(self, channels_in: int, classes: int, width: int, config: LTContextNetworkConfig):
        super().__init__()
        self.conv_in = Pointwise(channels_in, width)
        self.layers = nn.ModuleList(Layer(width, 2**i, config) for i in range(config.layers))
        self.conv_out = Pointwise(width, classes)

    def forward(
        self, inputs_BXT: Tensor, before_BDT: Tensor | None, mask_BT: Mask, generators: Generators | None
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, C, T] and features [B, D, T], both zero in the padding."""
        x_BDT = masked(self.conv_in(inputs_BXT), mask_BT)
        for layer in self.layers:
            x_BDT = layer(x_BDT, before_BDT, mask_BT, generators)
        return masked(self.conv_out(x_BDT), mask_BT), x_BDT


class Layer(nn.Module):
    """x + W(local and long-term attention over a dilated convolution), zero in the padding as x has to be."""

    def __init__(self, width: int, dilation: int, config: LTContextNetworkConfig):
        super().__init__()
        self.dropout = config.dropout
        self.conv = DilatedConv(width, config.kernel, dilation)
        self.windowed = WindowedAttention(width, config.window, config.attention_dropout)
        self.long_term = LongTermAttention(width, config.long_term_step, config.attention_dropout)
        self.out = Pointwise(width, width)

    def forward(
        self, x_BDT: Tensor, before_BDT: Tensor | None, mask_BT: Mask, generators: Generators | None
    ) -> Tensor:
        """[B, D, T]. Values come from `before`, where there is a stage before this one."""
        mixed_BDT = F.gelu(self.conv(x_BDT))
        mixed_BDT = mixed_BDT + self.windowed(mixed_BDT, before_BDT, mask_BT, generators)
        mixed_BDT = mixed_BDT + self.long_term(mixed_BDT, before_BDT, mask_BT, generators)
        out_BDT = self.out(mixed_BDT)
        if self.training:
            out_BDT = drop(out_BDT, self.dropout, generators)
        return masked(x_BDT + out_BDT, mask_BT)


class _Attention(nn.Module):
    """One head of attention among groups of frames; which ones is what the two kinds differ in."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.query, self.key, self.value = (Pointwise(width, width // 2) for _ in range(3))
        self.out = Pointwise(width // 2, width)

    def forward(
        self, x_BDT: Tensor, before_BDT: Tensor | None, mask_BT: Mask, generators: Generators | None
    ) -> Tensor:
        """[B, D, T]; what it is in the padding doesn't matter."""
        value_BDT = x_BDT if before_BDT is None else before_BDT
        mixed_BET = self.attend(self.query(x_BDT), self.key(x_BDT), self.value(value_BDT), mask_BT)
        if self.training:  # of what was attended to: single weights are never held
            mixed_BET = drop(mixed_BET, self.dropout, generators)
        return self.out(F.gelu(mixed_BET))

    def attend(self, q_BET: Tensor, k_BET: Tensor, v_BET: Tensor, mask_BT: Mask) -> Tensor:
        """What each frame gets [B, E, T]."""
        raise NotImplementedError


class WindowedAttention(_Attention):
    """Frames of a window of W see it and half a window on either side."""

    def __init__(self, width: int, window: int, dropout: float):
        super().__init__(width, dropout)
        self.window = window

    def attend(self, q_BET: Tensor, k_BET: Tensor, v_BET: Tensor, mask_BT: Mask) -> Tensor:
        """What each frame gets [B, E, T]."""
        W, T = self.window, q_BET.shape[2]
        rest, half = -T % W, self.window // 2

        def keys(series_BXT: Tensor) -> Tensor:  # [B, windows, 2 · W, X]
            padded = F.pad(series_BXT, (half, rest + half))
            return padded.unfold(2, 2 * W, W).permute(0, 2, 3, 1)

        q_BNWE = F.pad(q_BET, (0, rest)).unflatten(2, (-1, W)).permute(0, 2, 3, 1)
        seen_BN1K = keys(_real(q_BET, mask_BT))[..., 0].bool()[:, :, None]
        out_BNWE = attend(q_BNWE, keys(k_BET), keys(v_BET), seen_BN1K)
        return out_BNWE.permute(0, 3, 1, 2).flatten(2)[:, :, :T]


class LongTermAttention(_Attention):
    """Each frame sees those that are a multiple of G frames away."""

    def __init__(self, width: int, step: int, dropout: float):
        super().__init__(width, dropout)
        self.step = step

    def attend(self, q_BET: Tensor, k_BET: Tensor, v_BET: Tensor, mask_BT: Mask) -> Tensor:
        """What each frame gets [B, E, T]."""
        T = q_BET.shape[2]
        rest = -T % self.step

        def strided(series_BXT: Tensor) -> Tensor:  # [B, G, T / G, X]
            return F.pad(series_BXT, (0, rest)).unflatten(2, (-1, self.step)).permute(0, 3, 2, 1)

        seen_BG1K = strided(_real(q_BET, mask_BT))[..., 0].bool()[:, :, None]
        out_BGNE = attend(strided(q_BET), strided(k_BET), strided(v_BET), seen_BG1K)
        return out_BGNE.permute(0, 3, 2, 1).flatten(2)[:, :, :T]


def _real(like_BET: Tensor, mask_BT: Mask) -> Tensor:
    """1 for real frames, to be padded and cut as their keys are [B, 1, T]."""
    ones_B1T = torch.ones_like(like_BET[:, :1])
    return masked(ones_B1T, mask_BT)
