"""ASQuery's decoder: a query for each class, and one for boundaries, that read the pyramid coarse to fine.

As in Mask2Former (Cheng et al., 2022, arXiv:2112.01527), but for the mask in its attention: what a query has become
after each block is compared with every frame's features, which gives its scores over time. All of these outputs are
supervised.

Shapes: B batch, D width, C classes, Q queries (C + 1), T frames of a scale.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.asquery.backbone import Scales, positions
from rhas.train.models.asquery.config import ASQueryNetworkConfig
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.precision import in_float32


class Output(NamedTuple):
    """Logits of every class and of a boundary at each frame, zero in the padding."""

    classes_BCT: Tensor
    boundary_BT: Tensor


class QueryDecoder(nn.Module):
    """The pyramid's scales and the features to compare with, to an output before the first block and after each."""

    def __init__(self, classes: int, config: ASQueryNetworkConfig):
        super().__init__()
        width = config.width
        self.class_query_CD = nn.Parameter(torch.randn(classes, width))
        self.class_position_CD = nn.Parameter(torch.randn(classes, width))
        self.boundary_query_1D = nn.Parameter(torch.randn(1, width))
        self.boundary_position_1D = nn.Parameter(torch.randn(1, width))
        self.blocks = nn.ModuleList(QueryBlock(width, config.heads) for _ in range(config.scales))
        self.class_head, self.boundary_head = _head(width), _head(width)
        self.prior_C: nn.Parameter | None = None
        if config.prior is not None:
            self.prior_C = nn.Parameter(torch.full((classes,), math.log(config.prior / (1 - config.prior))))

    def forward(self, read: Scales, compared_BDT: Tensor, mask_BT: Mask) -> list[Output]:
        """The last one is the best informed; `mask_BT` is that of the finest scale."""
        B = len(compared_BDT)
        query_BQD = torch.cat([self.class_query_CD, self.boundary_query_1D]).expand(B, -1, -1)
        position_QD = torch.cat([self.class_position_CD, self.boundary_position_1D])
        outputs = [self._output(query_BQD, compared_BDT, mask_BT)]
        for block, (level_BDT, real_BT) in reversed(list(zip(self.blocks, read, strict=True))):
            query_BQD = block(query_BQD, position_QD, level_BDT, real_BT)
            outputs.append(self._output(query_BQD, compared_BDT, mask_BT))
        return outputs

    def _output(self, query_BQD: Tensor, compared_BDT: Tensor, mask_BT: Mask) -> Output:
        classes_BCT = _compare(self.class_head(query_BQD[:, :-1]), compared_BDT)
        boundary_B1T = _compare(self.boundary_head(query_BQD[:, -1:]), compared_BDT)
        if self.prior_C is not None:
            classes_BCT = masked(classes_BCT + self.prior_C[:, None], mask_BT)
        return Output(classes_BCT, boundary_B1T[:, 0])


class QueryBlock(nn.Module):
    """Queries see each other, then a scale's frames, then a feed-forward network; norms first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.own_norm, self.read_norm, self.ffn_norm = (nn.LayerNorm(width) for _ in range(3))
        self.own, self.read = Attention(width, heads), Attention(width, heads)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        for parameter in (*self.own.parameters(), *self.read.parameters(), *self.ffn.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, query_BQD: Tensor, position_QD: Tensor, level_BDT: Tensor, mask_BT: Mask) -> Tensor:
        """[B, Q, D]."""
        z_BQD = self.own_norm(query_BQD)
        query_BQD = query_BQD + self.own(z_BQD + position_QD, z_BQD + position_QD, z_BQD, None)
        z_BQD = self.read_norm(query_BQD)
        level_BTD = level_BDT.transpose(1, 2)
        keys_BTD = (level_BDT + positions(level_BDT)).transpose(1, 2)
        query_BQD = query_BQD + self.read(z_BQD + position_QD, keys_BTD, level_BTD, mask_BT)
        return query_BQD + self.ffn(self.ffn_norm(query_BQD))


class Attention(nn.Module):
    """Multi-head attention of queries [B, Q, D] to any keys and values [B, T, D]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.projections = nn.Linear(width, 3 * width)  # of query, key and value, one below the other
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.projections.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, q_BQD: Tensor, k_BTD: Tensor, v_BTD: Tensor, mask_BT: Mask) -> Tensor:
        """[B, Q, D]."""
        weights, biases = self.projections.weight.chunk(3), self.projections.bias.chunk(3)
        q_BHQE, k_BHTE, v_BHTE = (
            F.linear(x, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((q_BQD, k_BTD, v_BTD), weights, biases, strict=True)
        )
        seen = None if mask_BT is None else mask_BT[:, None, None]
        mixed_BHQE = F.scaled_dot_product_attention(q_BHQE, k_BHTE, v_BHTE, attn_mask=seen)
        return self.out(mixed_BHQE.transpose(1, 2).flatten(2))


def _head(width: int) -> nn.Sequential:
    """What a query is compared by [B, Q, D]."""
    return nn.Sequential(
        nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.ReLU(), nn.Linear(width, width)
    )  # fmt: skip


@in_float32
def _compare(query_BQD: Tensor, compared_BDT: Tensor) -> Tensor:
    """Logits [B, Q, T]; in float32, so that a peak is one frame's and not of all that round to it."""
    return torch.bmm(query_BQD, compared_BDT)
