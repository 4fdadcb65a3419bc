"""Local attention against attention to all frames with all but the window masked."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rhas.train.models.layers.local_attention import local_attention
from rhas.train.models.layers.masking import masked


@pytest.mark.parametrize(
    ("before", "after", "block", "frames"),
    [(3, 3, 1, 70), (2, 1, 4, 37), (20, 19, 40, 95), (0, 0, 1, 5), (4, 4, 1, 2)],
)
def test_it_is_attention_to_a_window(before: int, after: int, block: int, frames: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 6, frames, dtype=torch.float64)
    bias = torch.randn(2, before + block + after, dtype=torch.float64)
    at = torch.arange(frames)
    place = at - (at[:, None] // block * block) + before  # of each frame in each frame's window
    inside = (place >= 0) & (place < before + block + after)
    heads = [x.unflatten(1, (2, 3)) for x in (q, k, v)]
    dots = torch.einsum("bhet,bheu->bhtu", *heads[:2]) / math.sqrt(3)
    dots = dots + bias[:, place.clamp(0, before + block + after - 1)]
    weights = dots.masked_fill(~inside, -torch.inf).softmax(-1)
    expected = torch.einsum("bhtu,bheu->bhet", weights, heads[2]).flatten(1, 2)
    found = local_attention(q, k, v, None, before, after, block, heads=2, bias_HW=bias)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("before", "after", "block"), [(3, 3, 1), (8, 7, 16)])
def test_padding(check_padding: Callable[..., None], before: int, after: int, block: int) -> None:
    def call(inputs: list[Tensor], mask: Tensor) -> Tensor:
        return masked(local_attention(*inputs, mask, before, after, block), mask)

    check_padding(call, 4, 4, 4)
