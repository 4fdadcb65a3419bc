"""What frames do among themselves, and what tokens do: the branches that each block has.

Shapes: T frames, M tokens, X channels in, D width of the frame branch, A width of tokens, H width handed on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.data.generators import Generators
from rhas.train.models.fact.attention import Dropout, MultiHead, placed
from rhas.train.models.fact.config import NetworkConfig
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.pointwise import Pointwise

KERNEL = 3


class FrameBranch(nn.Module):
    """Frames [T, X] to [T, H]: dilated residual layers, with a 1×1 convolution before them if X isn't D."""

    def __init__(self, channels_in: int | None, layers: int, config: NetworkConfig):
        """`channels_in`: None where frames come in the branch's own width."""
        super().__init__()
        width = config.frame_width
        self.conv_in = None if channels_in is None else Pointwise(channels_in, width)
        if config.frame_branch == "m":
            self.layers = nn.ModuleList(
                Residual(width, 2**k, config.dropout, config.frame_norm) for k in range(layers)
            )
        else:
            # The last one drops nothing.
            rates = [config.dropout] * (layers - 1) + [0.0]
            self.layers = nn.ModuleList(
                NearAndFar(width, 2**k, 2 ** (layers - 1 - k), rate) for k, rate in enumerate(rates)
            )
        self.conv_out = Pointwise(width, config.width)

    def forward(self, frames_TX: Tensor, draws: Generators | None) -> Tensor:
        """[T, H]."""
        x_1DT = frames_TX.T[None]
        if self.conv_in is not None:
            x_1DT = self.conv_in(x_1DT)
        for layer in self.layers:
            x_1DT = layer(x_1DT, draws)
        out_TH: Tensor = self.conv_out(x_1DT)[0].T
        return out_TH


class Residual(nn.Module):
    """A layer of MS-TCN (Farha and Gall, 2019, arXiv:1903.01945), with a norm if that is asked for."""

    def __init__(self, width: int, dilation: int, dropout: float, norm: bool):
        super().__init__()
        self.conv, self.out = DilatedConv(width, KERNEL, dilation), Pointwise(width, width)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width) if norm else None

    def forward(self, x_1DT: Tensor, draws: Generators | None) -> Tensor:
        """[1, D, T]."""
        x_1DT = x_1DT + self.dropout(self.out(F.relu(self.conv(x_1DT))), draws)
        return x_1DT if self.norm is None else self.norm(x_1DT.transpose(1, 2)).transpose(1, 2)


class NearAndFar(nn.Module):
    """A layer of MS-TCN++ (Li et al., 2020, arXiv:2006.09220): two dilations at once, one of which falls."""

    def __init__(self, width: int, rising: int, falling: int, dropout: float):
        super().__init__()
        self.rising, self.falling = DilatedConv(width, KERNEL, rising), DilatedConv(width, KERNEL, falling)
        self.fusion = Pointwise(2 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_1DT: Tensor, draws: Generators | None) -> Tensor:
        """[1, D, T]."""
        both = torch.cat([self.falling(x_1DT), self.rising(x_1DT)], 1)
        return x_1DT + self.dropout(F.relu(self.fusion(both)), draws)


class TokenDecoder(nn.Module):
    """The token branch of block i: layers of a DETR decoder (Carion et al., 2020, arXiv:2005.12872), norms behind."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.token_layers))
        self.norm = nn.LayerNorm(config.token_width)
        self.out = nn.Linear(config.token_width, config.width)

    def forward(
        self, tokens_MA: Tensor, query_MA: Tensor, frames_TH: Tensor, position_TH: Tensor | None,
        draws: Generators | None,
    ) -> Tensor:  # fmt: skip
        """Tokens [M, H]; `query`: their positions."""
        for layer in self.layers:
            tokens_MA = layer(tokens_MA, query_MA, frames_TH, position_TH, draws)
        out_MH: Tensor = self.out(self.norm(tokens_MA))
        return out_MH


class TokenUpdate(nn.Module):
    """The token branch of blocks u and U: one layer in which tokens see each other."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.layer = SelfLayer(config)
        self.out = nn.Linear(config.token_width, config.width)

    def forward(self, tokens_MA: Tensor, query_MA: Tensor, draws: Generators | None) -> Tensor:
        """Tokens [M, H]."""
        out_MH: Tensor = self.out(self.layer(tokens_MA, query_MA, draws))
        return out_MH


class SelfLayer(nn.Module):
    """Tokens see each other, then each by itself; norms behind."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = config.token_width
        self.self_attention = MultiHead(width, width, config.heads, config.dropout)
        self.self_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(config)

    def forward(self, tokens_MA: Tensor, query_MA: Tensor, draws: Generators | None) -> Tensor:
        """[M, A]."""
        return self.feedforward(self.see_each_other(tokens_MA, query_MA, draws), draws)

    def see_each_other(self, tokens_MA: Tensor, query_MA: Tensor, draws: Generators | None) -> Tensor:
        """[M, A]."""
        here_MA = placed(tokens_MA, query_MA)
        seen_MA = self.self_attention(here_MA, here_MA, tokens_MA, draws)
        return self.self_norm(tokens_MA + self.feedforward.dropout(seen_MA, draws))


class DecoderLayer(SelfLayer):
    """Tokens see each other, then the frames, then each by itself.

    In a first layer all tokens are zeros, so what they see of each other is the same for all: of its self attention
    only the biases of value and output matter, in the released weights too.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        self.cross_attention = MultiHead(config.token_width, config.width, config.heads, config.dropout)
        self.cross_norm = nn.LayerNorm(config.token_width)

    def forward(  # type: ignore[override]
        self, tokens_MA: Tensor, query_MA: Tensor, frames_TH: Tensor, position_TH: Tensor | None,
        draws: Generators | None,
    ) -> Tensor:  # fmt: skip
        """[M, A]."""
        tokens_MA = self.see_each_other(tokens_MA, query_MA, draws)
        keys_TH = placed(frames_TH, position_TH)
        seen_MA = self.cross_attention(placed(tokens_MA, query_MA), keys_TH, frames_TH, draws)
        tokens_MA = self.cross_norm(tokens_MA + self.feedforward.dropout(seen_MA, draws))
        return self.feedforward(tokens_MA, draws)


class FeedForward(nn.Module):
    """x + W ReLU(W x), and a norm behind."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.inner = nn.Linear(config.token_width, config.feedforward)
        self.outer = nn.Linear(config.feedforward, config.token_width)
        self.norm = nn.LayerNorm(config.token_width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_MA: Tensor, draws: Generators | None) -> Tensor:
        """[M, A]."""
        inner = self.dropout(F.relu(self.inner(x_MA)), draws)
        out_MA: Tensor = self.norm(x_MA + self.dropout(self.outer(inner), draws))
        return out_MA
