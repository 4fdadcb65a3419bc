"""The layers of FUTR's encoder and decoder: DETR's, normalised after each residual, but that values have positions too.

A frame looks at all others, so their time grows with T², their memory with T: no T×T weights are held. That is why the
authors' dropout of attention's weights is not here.

Shapes: B batch, D width, T frames, M queries, X and Y of any of both.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.data.generators import Generators

WIDER = 4  # of a feed-forward layer's inside


class Drop(Protocol):
    """Dropout of a tensor in the layout [B, X, D]; the identity where nothing is drawn."""

    def __call__(self, x_BXD: Tensor) -> Tensor: ...


def keep(x_BXD: Tensor) -> Tensor:
    """No dropout."""
    return x_BXD


def dropping(rate: float, generators: Generators | None, frames: bool) -> Drop:
    """Dropout of single numbers, each video's by its own generator: of `frames`, or of as many rows in each video."""
    if generators is None or rate == 0:
        return keep
    scale = 1 / (1 - rate)

    def drop(x_BXD: Tensor) -> Tensor:
        if frames:
            drawn_BXD = generators.uniform(x_BXD.shape[2]).transpose(1, 2)
        else:
            drawn_BXD = generators.uniform_rows(x_BXD.shape[1] * x_BXD.shape[2]).view(x_BXD.shape)
        return x_BXD * (drawn_BXD >= rate).to(x_BXD.dtype) * scale

    return drop


class Attention(nn.Module):
    """Attention of several heads: PyTorch's `MultiheadAttention`, in parts."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for part in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(part.weight)
        for part in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(part.bias)

    def forward(self, query_BYD: Tensor, key_BXD: Tensor, mask_BX: Tensor | None) -> Tensor:
        """[B, Y, D]; values are of the keys. `mask_BX`: what may be looked at."""
        parts = self.query(query_BYD), self.key(key_BXD), self.value(key_BXD)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        mask_B11X = None if mask_BX is None else mask_BX[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B11X)
        out_BYD: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out_BYD


class FeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, WIDER * width), nn.Linear(WIDER * width, width)

    def forward(self, x_BXD: Tensor, drop: Drop) -> Tensor:
        """[B, X, D]."""
        out_BXD: Tensor = self.outer(drop(self.inner(x_BXD).relu()))
        return out_BXD


class EncoderLayer(nn.Module):
    """Frames look at frames."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention, self.feed_forward = Attention(width, heads), FeedForward(width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, position_TD: Tensor, mask_BT: Tensor | None, drop: Drop) -> Tensor:
        """[B, T, D]."""
        placed_BTD = x_BTD + position_TD
        x_BTD = self.attention_norm(x_BTD + drop(self.attention(placed_BTD, placed_BTD, mask_BT)))
        out_BTD: Tensor = self.norm(x_BTD + drop(self.feed_forward(x_BTD, drop)))
        return out_BTD


class DecoderLayer(nn.Module):
    """Queries look at each other, and then at frames."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.self_attention, self.attention = Attention(width, heads), Attention(width, heads)
        self.feed_forward = FeedForward(width)
        self.self_norm, self.attention_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, x_BMD: Tensor, query_MD: Tensor, placed_BTD: Tensor, mask_BT: Tensor | None, drop: Drop
    ) -> Tensor:
        """[B, M, D]; `placed_BTD` are encoded frames with their positions."""
        own_BMD = x_BMD + query_MD
        x_BMD = self.self_norm(x_BMD + drop(self.self_attention(own_BMD, own_BMD, None)))
        x_BMD = self.attention_norm(x_BMD + drop(self.attention(x_BMD + query_MD, placed_BTD, mask_BT)))
        out_BMD: Tensor = self.norm(x_BMD + drop(self.feed_forward(x_BMD, drop)))
        return out_BMD


def learned(rows: int, width: int) -> nn.Parameter:
    """A table of learned vectors."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, width)))
