"""Masked instance norm and seeded dropout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from train.layers.masking import drop, instance_norm


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_drop_is_the_generators_and_keeps_the_mean() -> None:
    x = torch.ones(1, 100, 200)
    once, again, other = (drop(x, 0.3, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert abs(once.mean().item() - 1) < 0.02
    assert drop(x, 0.0, None) is x


def test_drop_takes_whole_channels_or_frames() -> None:
    x = torch.ones(2, 30, 40)
    channels, frames = drop(x, 0.5, seeded(3), (2, 30, 1)), drop(x, 0.5, seeded(3), (2, 1, 40))
    assert (channels.std(2) == 0).all() and (frames.std(1) == 0).all()
    assert channels.unique().tolist() == frames.unique().tolist() == [0.0, 2.0]
