"""Masked instance norm and seeded dropout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from seeded_generators import draws_of, seeded
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.layers.masking import drop, drop_channels, drop_frames, instance_norm


def test_instance_norm_is_torchs_without_padding() -> None:
    x = torch.randn(2, 3, 20, generator=seeded(0)) * 5 + 100
    mask = torch.ones(2, 20, dtype=torch.bool)
    torch.testing.assert_close(instance_norm(x, mask), F.instance_norm(x), rtol=0, atol=1e-5)


def test_instance_norm_padding(check_padding: Callable[..., None]) -> None:
    check_padding(lambda x, mask: instance_norm(x[0], mask), 4)


def test_instance_norm_gradient() -> None:
    x = torch.randn(2, 2, 5, dtype=torch.float64, generator=seeded(1), requires_grad=True)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    assert torch.autograd.gradcheck(lambda x: instance_norm(x, mask), x)


WHOLE = torch.ones(2, 200, dtype=torch.bool)
DROPS = pytest.mark.parametrize("dropped", [drop, drop_channels, drop_frames])


@DROPS
def test_dropout_is_the_generators_and_keeps_the_mean(dropped: Callable[..., Tensor]) -> None:
    x = torch.ones(2, 150, 200)
    once, again, other = (dropped(x, 0.3, draws_of(WHOLE, seed)) for seed in (1, 1, 3))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert not torch.equal(once[0], once[1])
    assert abs(once.mean().item() - 1) < (0.02 if dropped is drop else 0.1)
    assert dropped(x, 0.3, None).unique().tolist() == once.unique().tolist()
    assert dropped(x, 0.0, None) is x


@DROPS
def test_dropout_of_a_video_is_the_same_with_others(dropped: Callable[..., Tensor]) -> None:
    x, mask = torch.randn(2, 6, 30), torch.arange(30) < torch.tensor([30, 11])[:, None]
    together = dropped(x, 0.5, draws_of(mask, 4, 5))
    assert torch.equal(dropped(x[1:, :, :11], 0.5, draws_of(mask[1:], 5)), together[1:, :, :11])


def test_channels_and_frames_are_dropped_as_wholes() -> None:
    x = torch.ones(2, 30, 200)
    channels, frames = drop_channels(x, 0.5, draws_of(WHOLE, 3)), drop_frames(x, 0.5, draws_of(WHOLE, 3))
    assert (channels.std(2) == 0).all() and (frames.std(1) == 0).all()
    assert channels.unique().tolist() == frames.unique().tolist() == [0.0, 2.0]
