"""Attention between frames, segments and tokens of one video, and positions.

A position of P channels is added to the first P of what it is added to, in queries and keys, never in values.

Shapes: X keys, Y queries, H width, P channels of a position, D and E channels, N heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.data.generators import Generators
from rhas.train.models.layers.masking import drop_numbers


class Dropout(nn.Module):
    """Of single numbers of one video, in training."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, draws: Generators | None) -> Tensor:
        """Of the same shape, whatever it is."""
        return drop_numbers(x, self.rate, draws) if self.training else x


def sinusoids(count: int, width: int, device: torch.device | str) -> Tensor:
    """Positions [count, width]: sine in even channels, cosine in odd ones, of t · 10000^(−2i / width)."""
    at_T1 = torch.arange(count, device=device, dtype=torch.float32)[:, None]
    even_I = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angles_TI = at_T1 * torch.exp(-math.log(10_000.0) / width * even_I)
    return torch.stack([angles_TI.sin(), angles_TI.cos()], 2).flatten(1)[:, :width]


def placed(x_XD: Tensor, position_XP: Tensor | None) -> Tensor:
    """x with its position in its first channels [X, D]; None: without one."""
    if position_XP is None:
        return x_XD
    return x_XD + F.pad(position_XP, (0, x_XD.shape[1] - position_XP.shape[1]))


class MultiHead(nn.Module):
    """Attention of N heads, whose weights are dropped out: as PyTorch's, with draws of the video's own."""

    def __init__(self, width: int, channels: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(channels, width), nn.Linear(channels, width)
        self.dropout = Dropout(dropout)
        for part in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, query_YD: Tensor, key_XE: Tensor, value_XE: Tensor, draws: Generators | None) -> Tensor:
        """[Y, D]."""
        parts = self.query(query_YD), self.key(key_XE), self.value(value_XE)
        q_NYd, k_NXd, v_NXd = (part.unflatten(1, (self.heads, -1)).transpose(0, 1) for part in parts)
        weights_NYX = (q_NYd @ k_NXd.transpose(1, 2) / math.sqrt(q_NYd.shape[2])).softmax(2)
        mixed_NYd = self.dropout(weights_NYX, draws) @ v_NXd
        out_YD: Tensor = self.out(mixed_NYd.transpose(0, 1).flatten(1))
        return out_YD


class CrossAttention(nn.Module):
    """y ← W [y ‖ what y sees of x], one head as wide as both; no residual, no norm."""

    def __init__(self, width: int, channels_out: int, dropout: float):
        super().__init__()
        self.key, self.value, self.query = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(2 * width, channels_out)
        self.dropout = Dropout(dropout)

    def forward(
        self, x_XH: Tensor, y_YH: Tensor, x_position_XP: Tensor | None, y_position_YP: Tensor | None,
        draws: Generators | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """y [Y, channels out], and the logits of its attention [Y, X]."""
        k_XH, q_YH = self.key(placed(x_XH, x_position_XP)), self.query(placed(y_YH, y_position_YP))
        logits_YX = q_YH @ k_XH.T / math.sqrt(k_XH.shape[1])
        seen_YH = logits_YX.softmax(1) @ self.value(x_XH)
        return self.out(self.dropout(torch.cat([y_YH, seen_YH], 1), draws)), logits_YX
