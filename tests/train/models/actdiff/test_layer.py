"""The layer of ActDiff. Its numbers are held against the released code in tests/train/models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from seeded_generators import draws_of

from rhas.train.models.actdiff.layer import ActDiffLayer


@pytest.mark.parametrize("dilation", [1, 16, 64])
def test_padding(check_padding: Callable[..., None], dilation: int) -> None:
    layer = ActDiffLayer(6, 5, dilation, dropout=0.5).eval()
    check_padding(lambda x, mask: layer(x[0] * mask[:, None], mask), 6)


def test_padding_with_condition(check_padding: Callable[..., None]) -> None:
    layer = ActDiffLayer(6, 5, 4, dropout=0.5, condition_channels=3).eval()
    check_padding(lambda x, mask: layer(x[0] * mask[:, None], mask, (x[1], x[2])), 6, 6, 6)


def test_dropout_is_the_generators() -> None:
    layer = ActDiffLayer(6, 3, 2, dropout=0.5).train()
    x, mask = torch.randn(2, 6, 20), torch.ones(2, 20, dtype=torch.bool)
    once, again, other = (layer(x, mask, generators=draws_of(mask, s)) for s in (1, 1, 3))
    assert torch.equal(once, again) and not torch.equal(once, other)
    layer.eval()
    assert torch.equal(layer(x, mask), layer(x, mask))
