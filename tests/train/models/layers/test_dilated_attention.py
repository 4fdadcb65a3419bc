"""Dilated attention against an implementation that gathers, and without what makes gathering costly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.layers.dilated_attention import DilatedAttention, QueryKey, dilated_attention


def gathered(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, neighbours: int, dilation: int, bias: Tensor | None = None
) -> Tensor:
    """The definition, with keys and values of all neighbours in one tensor [B, D, T, K]."""
    reach = neighbours // 2 * dilation
    index_TK = torch.arange(q.shape[2])[:, None] + torch.arange(neighbours) * dilation
    real = mask[:, None].to(q.dtype)
    k, v, real = (F.pad(x, (reach, reach))[:, :, index_TK] for x in (k * real, v * real, real))
    dots = (q[..., None] * k).sum(1) + (0 if bias is None else bias)
    weights = torch.softmax(dots / math.sqrt(q.shape[1]) + torch.log(real[:, 0] + 1e-6), -1) * real[:, 0]
    return (weights[:, None] * v).sum(-1)


def inputs(
    frames: int = 23, width: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(2, width, frames, generator=generator, dtype=dtype).requires_grad_() for _ in range(3)]
    mask = torch.arange(frames) < torch.tensor([frames, frames - frames // 3])[:, None]
    return qkv, mask


@pytest.mark.parametrize("neighbours", [1, 3, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 8, 16, 64])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_gathering(neighbours: int, dilation: int, biased: bool) -> None:
    qkv, mask = inputs()
    bias = torch.linspace(-2, 3, neighbours, dtype=torch.float64) if biased else None
    ours = dilated_attention(*qkv, mask, neighbours, dilation, bias)
    naive = gathered(*qkv, mask, neighbours, dilation, bias)
    torch.testing.assert_close(ours, naive, rtol=0, atol=1e-12)
    weight = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours_grad, naive_grad = (torch.autograd.grad((out * weight).sum(), qkv) for out in (ours, naive))
    torch.testing.assert_close(ours_grad, naive_grad, rtol=0, atol=1e-12)


def test_gradient() -> None:
    qkv, mask = inputs(frames=7, width=2)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: dilated_attention(*x[:3], mask, 3, 2, x[3]), (*qkv, bias))


def test_a_frame_sees_its_neighbours_only() -> None:
    qkv, _ = inputs(frames=40)
    mask = torch.ones(2, 40, dtype=torch.bool)
    out = dilated_attention(*qkv, mask, 5, 4)
    (grad,) = torch.autograd.grad(out[0, :, 20].sum(), qkv[2])
    assert grad[0].abs().sum(0).nonzero()[:, 0].tolist() == [12, 16, 20, 24, 28]


def test_autograd_keeps_no_gathered_copies() -> None:
    (q, k, v), _ = inputs(frames=300, width=64)
    mask = torch.ones(2, 300, dtype=torch.bool)
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        dilated_attention(q, k, v, mask, 5, 16)
    # q, k and v themselves, and the rest together less than one tensor more: K numbers per frame.
    assert sum(kept.values()) < 4 * q.untyped_storage().nbytes()


def projected(layer: DilatedAttention, condition: Tensor) -> QueryKey:
    query, key = layer.condition_weights
    return F.conv1d(condition, query), F.conv1d(condition, key)


@pytest.mark.parametrize("condition", [0, 3])
def test_padding(check_padding: Callable[..., None], condition: int) -> None:
    layer = DilatedAttention(4, 5, 8, condition)

    def call(x: list[Tensor], mask: Tensor) -> Tensor:
        return layer(x[0], mask, projected(layer, x[1]) if condition else None) * mask[:, None]

    check_padding(call, 4, *([condition] if condition else []))


def test_condition_is_part_of_query_and_key() -> None:
    layer = DilatedAttention(4, 5, 2, 3).double()
    (x, condition, _), mask = inputs(frames=20)
    condition = condition[:, :3]
    both = torch.cat([x, condition], 1)
    expected = dilated_attention(layer.query(both), layer.key(both), layer.value(x), mask, 5, 2)
    torch.testing.assert_close(layer(x, mask, projected(layer, condition)), expected)
