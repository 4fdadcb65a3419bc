"""The dilated convolution against torch's own."""

from __future__ import annotations

import pytest
import torch

from rhas.train.models.layers.dilated_conv import DilatedConv


@pytest.mark.parametrize(("kernel", "dilation", "frames"), [(5, 1, 20), (5, 16, 40), (3, 64, 9), (1, 1, 4)])
def test_it_is_torchs_forward_and_backward(kernel: int, dilation: int, frames: int) -> None:
    torch.manual_seed(0)
    ours = DilatedConv(4, kernel, dilation).double()
    x = torch.randn(2, 4, frames, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 4, frames, dtype=torch.float64)
    parameters = [x, *ours.parameters()]
    out = ours(x)
    expected = torch.nn.Conv1d.forward(ours, x)
    assert torch.equal(out, expected)
    gradients = torch.autograd.grad((out * weights).sum(), parameters)
    theirs = torch.autograd.grad((expected * weights).sum(), parameters)
    torch.testing.assert_close(gradients, theirs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(ours(x), expected)
