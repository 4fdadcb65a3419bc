"""Dilated attention of ActDiff (Liu et al., 2023, arXiv:2303.17959): each frame attends to k frames around it.

Query t sees the frames t + j·dilation, |j| ≤ k // 2, and nothing else. Gathering them would copy keys and
values k times; here every neighbour is a shifted slice, so that autograd keeps views of q, k and v and only
the k weights per frame are new.

Shapes: B batch, D channels, N channels of the condition, T frames, K neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ABSENT = 1e-6  # ActDiff's weight, before the softmax, of a neighbour outside the video


def dilated_attention(
    q_BDT: Tensor, k_BDT: Tensor, v_BDT: Tensor, mask_BT: Tensor,
    neighbours: int, dilation: int, bias_K: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """softmax_j((q_t·k_{t+js} + bias_j) / √D + log(mask_{t+js} + 1e-6)) · mask_{t+js}, applied to v [B, D, T].

    A neighbour outside the video, before it, after it or in the padding, has key 0: it takes part in the
    softmax with its 1e-6 and brings nothing. `bias_K` is an optional bias per neighbour, leftmost first.
    """
    frames = q_BDT.shape[2]
    reach = neighbours // 2
    shifts = [j * dilation for j in range(-reach, reach + 1)]
    spans = [_overlap(frames, shift) for shift in shifts]
    real_BT = mask_BT.to(q_BDT.dtype)

    dots, present = [], []
    for here, there in spans:
        around = (here.start, frames - here.stop)
        seen_BT = F.pad(real_BT[:, there], around)
        present.append(seen_BT)
        dots.append(F.pad((q_BDT[:, :, here] * k_BDT[:, :, there]).sum(1), around) * seen_BT)
    dots_KBT, present_KBT = torch.stack(dots), torch.stack(present)
    if bias_K is not None:
        dots_KBT = dots_KBT + bias_K[:, None, None]
    logits_KBT = dots_KBT / math.sqrt(q_BDT.shape[1]) + torch.log(present_KBT + ABSENT)
    weights_KBT = torch.softmax(logits_KBT, dim=0) * present_KBT

    out_BDT = torch.zeros_like(v_BDT)
    for weight_BT, (here, there) in zip(weights_KBT, spans, strict=True):
        out_BDT[:, :, here].add_(weight_BT[:, None, here] * v_BDT[:, :, there])
    return out_BDT


def _overlap(frames: int, shift: int) -> tuple[slice, slice]:
    """The frames t for which t + shift is a frame as well, and those t + shift. Both may be empty."""
    count = max(0, frames - abs(shift))
    here, there = (0, frames - count) if shift > 0 else (frames - count, 0)
    return slice(here, here + count), slice(there, there + count)


class DilatedAttention(nn.Module):
    """One head of dilated attention; with a condition, q and k come from cat[x, condition], v from x."""

    def __init__(self, width: int, neighbours: int, dilation: int, condition_channels: int = 0):
        super().__init__()
        self.neighbours, self.dilation = neighbours, dilation
        self.query = nn.Conv1d(width + condition_channels, width, 1)
        self.key = nn.Conv1d(width + condition_channels, width, 1)
        self.value = nn.Conv1d(width, width, 1)

    def forward(
        self,
        x_BDT: Tensor,
        mask_BT: Tensor,
        condition_BNT: Tensor | None = None,
        bias_K: Tensor | None = None,
    ) -> Tensor:
        """[B, D, T]. `bias_K` as in `dilated_attention`."""
        return dilated_attention(
            _pointwise(self.query, x_BDT, condition_BNT), _pointwise(self.key, x_BDT, condition_BNT),
            self.value(x_BDT), mask_BT, self.neighbours, self.dilation, bias_K,
        )  # fmt: skip


def _pointwise(conv: nn.Conv1d, x_BDT: Tensor, condition_BNT: Tensor | None) -> Tensor:
    """conv(cat[x, condition]) without a copy of the wide condition in each layer."""
    if condition_BNT is None:
        return conv(x_BDT)
    width = x_BDT.shape[1]
    from_x = F.conv1d(x_BDT, conv.weight[:, :width], conv.bias)
    return from_x + F.conv1d(condition_BNT, conv.weight[:, width:])
