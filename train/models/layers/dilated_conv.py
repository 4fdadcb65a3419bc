"""Dilated convolutions along time: torch's own, with a backward pass that CPUs are faster at.

Backward, torch's CPU convolution takes four times as long as forward where it should take twice. As one matrix
product per tap and gradient it does.

Shapes: B batch, D channels in, E channels out, T frames, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.layers.precision import as_autocast, without_autocast
from rhas.train.models.layers.shifts import shifts


class DilatedConv(nn.Conv1d):
    """[B, D, T] to [B, E, T], zeros before the first frame and after the last. The kernel is odd."""

    def __init__(
        self, width: int, kernel: int, dilation: int, channels_in: int | None = None, bias: bool = True
    ):
        """`width` is E, and D unless `channels_in` says otherwise."""
        super().__init__(
            width if channels_in is None else channels_in, width, kernel,
            padding=kernel // 2 * dilation, dilation=dilation, bias=bias,
        )  # fmt: skip

    def forward(self, x_BDT: Tensor) -> Tensor:
        """[B, E, T]."""
        if torch.compiler.is_compiling() or x_BDT.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x_BDT)
        x_BDT, weight_EDK = as_autocast(x_BDT, self.weight)
        bias_E = None if self.bias is None else self.bias.to(weight_EDK.dtype)
        with without_autocast(x_BDT):
            out: Tensor = _ByTaps.apply(x_BDT, weight_EDK, bias_E, self.dilation[0])
        return out


class _ByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BDT: Tensor, weight_EDK: Tensor, bias_E: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(x_BDT, weight_EDK)
        ctx.dilation = dilation
        padding = weight_EDK.shape[2] // 2 * dilation
        return F.conv1d(x_BDT, weight_EDK, bias_E, padding=padding, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, grad_BET: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x_BDT, weight_EDK = ctx.saved_tensors
        grad_x_BDT, grad_weight_EDK = torch.zeros_like(x_BDT), torch.zeros_like(weight_EDK)
        taps = shifts(x_BDT.shape[2], weight_EDK.shape[2], ctx.dilation)
        for k, (here, there) in enumerate(taps):
            part_BET = grad_BET[:, :, here]
            grad_weight_EDK[:, :, k] = torch.bmm(part_BET, x_BDT[:, :, there].transpose(1, 2)).sum(0)
            grad_x_BDT[:, :, there] += torch.matmul(weight_EDK[:, :, k].T, part_BET)
        grad_bias_E = grad_BET.sum((0, 2)) if ctx.needs_input_grad[2] else None
        return grad_x_BDT, grad_weight_EDK, grad_bias_E, None
