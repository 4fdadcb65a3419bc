"""The dilated convolution of ActDiff's layers: torch's own, with a backward pass that CPUs are faster at.

Backward, torch's CPU convolution takes four times as long as forward where it should take twice. As one matrix
product per tap and gradient it does.

Shapes: B batch, D channels, T frames, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.layers.precision import as_autocast, without_autocast
from rhas.train.models.layers.shifts import shifts


class DilatedConv(nn.Conv1d):
    """[B, D, T] to [B, D, T], zeros before the first frame and after the last. The kernel is odd."""

    def __init__(self, width: int, kernel: int, dilation: int):
        super().__init__(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation)

    def forward(self, x_BDT: Tensor) -> Tensor:
        if x_BDT.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x_BDT)
        assert self.bias is not None
        cast = as_autocast(x_BDT, self.weight, self.bias)
        with without_autocast(x_BDT):
            out: Tensor = _ByTaps.apply(*cast, self.dilation[0])
        return out


class _ByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BDT: Tensor, weight_DDK: Tensor, bias_D: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x_BDT, weight_DDK)
        ctx.dilation = dilation
        padding = weight_DDK.shape[2] // 2 * dilation
        return F.conv1d(x_BDT, weight_DDK, bias_D, padding=padding, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, grad_BDT: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x_BDT, weight_DDK = ctx.saved_tensors
        grad_x_BDT, grad_weight_DDK = torch.zeros_like(x_BDT), torch.zeros_like(weight_DDK)
        taps = shifts(x_BDT.shape[2], weight_DDK.shape[2], ctx.dilation)
        for k, (here, there) in enumerate(taps):
            part_BDT = grad_BDT[:, :, here]
            grad_weight_DDK[:, :, k] = torch.bmm(part_BDT, x_BDT[:, :, there].transpose(1, 2)).sum(0)
            grad_x_BDT[:, :, there] += torch.matmul(weight_DDK[:, :, k].T, part_BDT)
        return grad_x_BDT, grad_weight_DDK, grad_BDT.sum((0, 2)), None
