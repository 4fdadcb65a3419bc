"""Dilated attention of ActDiff (Liu et al., 2023, arXiv:2303.17959): each frame attends to k frames around it.

Query t sees the frames t + j·dilation, |j| ≤ k // 2, and nothing else. On a CPU gathering them would copy keys and
values k times; there every neighbour is a shifted slice, forward and backward, and only the k weights per frame are
new. On a GPU, where each of these slices would be an operation to launch, they are gathered.

Shapes: B batch, D channels, N channels of the condition, T frames, K neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.pointwise import Pointwise, pointwise
from rhas.train.models.layers.position_bias import PositionBias
from rhas.train.models.layers.precision import as_autocast, wide
from rhas.train.models.layers.shifts import Shift, shifts

QueryKey = tuple[Tensor, Tensor]  # a condition's part of q and of k, each [B, D, T]
ABSENT = 1e-6  # ActDiff's weight, before the softmax, of a neighbour outside the video


def dilated_attention(
    q_BDT: Tensor, k_BDT: Tensor, v_BDT: Tensor, mask_BT: Mask,
    neighbours: int, dilation: int, bias_K: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """softmax_j((q_t·k_{t+js} + bias_j) / √D + log(mask_{t+js} + 1e-6)) · mask_{t+js}, applied to v [B, D, T].

    A neighbour outside the video, before it, after it or in the padding, has key 0: it takes part in the
    softmax with its 1e-6 and brings nothing. `bias_K` is an optional bias per neighbour, leftmost first.
    """
    q_BDT, k_BDT, v_BDT = as_autocast(q_BDT, k_BDT, v_BDT)
    if q_BDT.device.type == "cpu" and not torch.compiler.is_compiling():
        neighbourhood: _Shifted | _Gathered = _Shifted(q_BDT.shape[2], neighbours, dilation)
    else:
        neighbourhood = _Gathered(neighbours, dilation)
    real_B1T = masked(torch.ones_like(q_BDT[:, :1]), mask_BT)
    present_KBT = neighbourhood.present(real_B1T)
    dots_KBT = wide(neighbourhood.scores(q_BDT, k_BDT)) * present_KBT
    if bias_K is not None:
        dots_KBT = dots_KBT + bias_K[:, None, None]
    logits_KBT = dots_KBT / math.sqrt(q_BDT.shape[1]) + torch.log(present_KBT + ABSENT)
    weights_KBT = torch.softmax(logits_KBT, dim=0) * present_KBT
    return neighbourhood.mixture(weights_KBT.to(v_BDT.dtype), v_BDT)


class _Gathered:
    """Neighbours side by side [B, D, K, T]: a handful of large operations, for GPUs and compilers."""

    def __init__(self, neighbours: int, dilation: int):
        self.neighbours, self.dilation = neighbours, dilation

    def present(self, real_B1T: Tensor) -> Tensor:
        """1 where there is such a neighbour, 0 elsewhere [K, B, T]."""
        return wide(self._gather(real_B1T)[:, 0].transpose(0, 1))

    def scores(self, q_BDT: Tensor, k_BDT: Tensor) -> Tensor:
        """[K, B, T]."""
        return (q_BDT[:, :, None] * self._gather(k_BDT)).sum(1).transpose(0, 1)

    def mixture(self, weights_KBT: Tensor, v_BDT: Tensor) -> Tensor:
        """[B, D, T]."""
        return (weights_KBT.transpose(0, 1)[:, None] * self._gather(v_BDT)).sum(2)

    def _gather(self, x_BDT: Tensor) -> Tensor:
        frames, reach = x_BDT.shape[2], self.neighbours // 2 * self.dilation
        padded = F.pad(x_BDT, (reach, reach))
        return torch.stack(
            [padded[:, :, j * self.dilation : j * self.dilation + frames] for j in range(self.neighbours)], 2
        )


class _Shifted:
    """Each neighbour as a shifted slice, forward and backward, of which no copy is held: for CPUs."""

    def __init__(self, frames: int, neighbours: int, dilation: int):
        self.around = shifts(frames, neighbours, dilation)

    def present(self, real_B1T: Tensor) -> Tensor:
        """1 where there is such a neighbour, 0 elsewhere [K, B, T]."""
        return wide(_scores(torch.ones_like(real_B1T), real_B1T, self.around))

    def scores(self, q_BDT: Tensor, k_BDT: Tensor) -> Tensor:
        """[K, B, T]."""
        dots_KBT: Tensor = _Scores.apply(q_BDT, k_BDT, self.around)
        return dots_KBT

    def mixture(self, weights_KBT: Tensor, v_BDT: Tensor) -> Tensor:
        """[B, D, T]."""
        mixed_BDT: Tensor = _Mixture.apply(weights_KBT, v_BDT, self.around)
        return mixed_BDT


class _Scores(torch.autograd.Function):
    """a_t · b_{t+j} of each frame and neighbour [K, B, T]; 0 where there is no such frame."""

    @staticmethod
    def forward(ctx: Any, a_BDT: Tensor, b_BDT: Tensor, around: list[Shift]) -> Tensor:
        ctx.save_for_backward(a_BDT, b_BDT)
        ctx.around = around
        return _scores(a_BDT, b_BDT, around)

    @staticmethod
    def backward(ctx: Any, grad_KBT: Tensor) -> tuple[Tensor, Tensor, None]:
        a_BDT, b_BDT = ctx.saved_tensors
        grad_KBT = grad_KBT.to(a_BDT.dtype)
        return _mixture(grad_KBT, b_BDT, ctx.around), _spread(grad_KBT, a_BDT, ctx.around), None


class _Mixture(torch.autograd.Function):
    """Σ_j w_{j,t} b_{t+j} at each frame [B, D, T]."""

    @staticmethod
    def forward(ctx: Any, w_KBT: Tensor, b_BDT: Tensor, around: list[Shift]) -> Tensor:
        ctx.save_for_backward(w_KBT, b_BDT)
        ctx.around = around
        return _mixture(w_KBT, b_BDT, around)

    @staticmethod
    def backward(ctx: Any, grad_BDT: Tensor) -> tuple[Tensor, Tensor, None]:
        w_KBT, b_BDT = ctx.saved_tensors
        return _scores(grad_BDT, b_BDT, ctx.around), _spread(w_KBT, grad_BDT, ctx.around), None


def _scores(a_BDT: Tensor, b_BDT: Tensor, around: list[Shift]) -> Tensor:
    scores_KBT = a_BDT.new_zeros(len(around), len(a_BDT), a_BDT.shape[2])
    for scores_BT, (here, there) in zip(scores_KBT, around, strict=True):
        scores_BT[:, here] = torch.linalg.vecdot(a_BDT[:, :, here], b_BDT[:, :, there], dim=1)
    return scores_KBT


def _mixture(w_KBT: Tensor, b_BDT: Tensor, around: list[Shift]) -> Tensor:
    out_BDT = torch.zeros_like(b_BDT)
    for w_BT, (here, there) in zip(w_KBT, around, strict=True):
        out_BDT[:, :, here].addcmul_(w_BT[:, None, here], b_BDT[:, :, there])
    return out_BDT


def _spread(w_KBT: Tensor, a_BDT: Tensor, around: list[Shift]) -> Tensor:
    """The transpose of `_mixture`: each frame gives w_{j,t} a_t to its neighbour t + j."""
    out_BDT = torch.zeros_like(a_BDT)
    for w_BT, (here, there) in zip(w_KBT, around, strict=True):
        out_BDT[:, :, there].addcmul_(w_BT[:, None, here], a_BDT[:, :, here])
    return out_BDT


class DilatedAttention(nn.Module):
    """One head of dilated attention; with a condition, q and k come from cat[x, condition], v from x.

    W cat[x, condition] is W_x x + W_c condition. The second part is left to the caller, so that a condition
    that stays the same while x changes, as in sampling, is projected once.
    """

    def __init__(
        self, width: int, neighbours: int, dilation: int, condition_channels: int = 0,
        position_bias: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.width, self.neighbours, self.dilation = width, neighbours, dilation
        self.query = Pointwise(width + condition_channels, width)
        self.key = Pointwise(width + condition_channels, width)
        self.value = Pointwise(width, width)
        self.position_bias = PositionBias(neighbours, dilation) if position_bias else None

    @property
    def condition_weights(self) -> tuple[Tensor, Tensor]:
        """What turns a condition into its part of q and of k, each [D, N, 1]."""
        return self.query.weight[:, self.width :], self.key.weight[:, self.width :]

    def forward(self, x_BDT: Tensor, mask_BT: Mask, condition: QueryKey | None = None) -> Tensor:
        """[B, D, T]. The condition's parts of q and k are made by `condition_weights`."""
        own = [self.query.weight[:, : self.width], self.key.weight[:, : self.width], self.value.weight]
        biases = [layer.bias for layer in (self.query, self.key, self.value) if layer.bias is not None]
        qkv_BXT = pointwise(x_BDT, torch.cat(own), torch.cat(biases))  # one product instead of three
        q_BDT, k_BDT, v_BDT = qkv_BXT.chunk(3, dim=1)
        if condition is not None:
            q_BDT, k_BDT = q_BDT + condition[0], k_BDT + condition[1]
        bias_K = None if self.position_bias is None else self.position_bias()
        return dilated_attention(q_BDT, k_BDT, v_BDT, mask_BT, self.neighbours, self.dilation, bias_K)
