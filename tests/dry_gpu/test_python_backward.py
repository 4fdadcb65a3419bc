"""The backward pass of `make dry-gpu` gives what PyTorch's own gives, for every model."""

from __future__ import annotations

import pytest
import torch
from every_model import KINDS, small_config, small_model
from made_batches import BATCH
from python_backward import backward
from torch import Tensor


@pytest.mark.parametrize("case", KINDS)
def test_gradients_are_torchs(case: str) -> None:
    found = []
    for way in (Tensor.backward, backward):
        model = small_model(small_config(case))
        way(torch.stack(list(model.losses(BATCH, BATCH.generators("cpu", 0)).values())).sum())
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(found[1], found[0])
    assert found[0]


def test_what_is_used_twice_is_summed() -> None:
    x, w = torch.randn(3, 4, requires_grad=True), torch.randn(4, dtype=torch.float64, requires_grad=True)
    y = x.exp()
    backward((y * w.float() + y.detach() * x.sum(0) + y[:, :1].expand(3, 4)).square().mean())
    found = x.grad, w.grad
    x.grad = w.grad = None
    y = x.exp()
    (y * w.float() + y.detach() * x.sum(0) + y[:, :1].expand(3, 4)).square().mean().backward()
    torch.testing.assert_close(found, (x.grad, w.grad))
    assert found[1] is not None and found[1].dtype == torch.float64
