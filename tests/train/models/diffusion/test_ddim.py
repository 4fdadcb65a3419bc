"""DDIM with decoders whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from seeded_generators import draws_of, seeded
from torch import Tensor

from rhas.train.models.diffusion.ddim import ddim_sample
from rhas.train.models.diffusion.labels import DiffusionConfig, LabelDiffusion

ONE = torch.ones(1, 1, dtype=torch.bool)
MASK = torch.arange(30) < torch.tensor([30, 12])[:, None]


def echo(noisy: Tensor, t: Tensor) -> Tensor:
    """Logits that depend on what the decoder sees, so that noise on the way shows."""
    return 4 * noisy - 2 + t[:, None, None] / 1000


@pytest.mark.parametrize("steps", [1, 3, 25, 1000])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_decoder_that_knows_the_labels_gives_them(steps: int, eta: float) -> None:
    y = (torch.rand(2, 4, 30, generator=seeded(5)) < 0.3).float()
    diffusion = LabelDiffusion(DiffusionConfig(), "sigmoid")
    seen = []

    def decode(noisy: Tensor, t: Tensor) -> Tensor:
        assert noisy.min() >= 0 and noisy.max() <= 1
        seen.append(int(t[0]))
        return 100 * (2 * y - 1)

    out = ddim_sample(decode, diffusion, MASK, 4, draws_of(MASK, 0, 1), steps=steps, eta=eta)
    assert torch.equal(out, y * MASK[:, None])
    assert seen == diffusion.schedule.visited(steps)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_generators_decide_and_each_video_has_its_own(eta: float, link: str) -> None:
    diffusion = LabelDiffusion(DiffusionConfig(eta=eta, sampling_steps=5), link)
    once, again = (ddim_sample(echo, diffusion, MASK, 4, draws_of(MASK, 3, 4)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, ddim_sample(echo, diffusion, MASK, 4, draws_of(MASK, 5, 6)))
    alone = ddim_sample(echo, diffusion, MASK[1:, :12], 4, draws_of(MASK[1:], 4))
    torch.testing.assert_close(alone[0], once[1, :, :12], rtol=0, atol=1e-6)
    assert (once[1, :, 12:] == 0).all()


def test_global_randomness_is_left_alone() -> None:
    diffusion = LabelDiffusion(DiffusionConfig(sampling_steps=5), "sigmoid")
    before = torch.get_rng_state()
    ddim_sample(echo, diffusion, MASK, 4, draws_of(MASK, 3, 4))
    assert torch.equal(before, torch.get_rng_state())


def test_a_start_replaces_the_noise() -> None:
    diffusion = LabelDiffusion(DiffusionConfig(sampling_steps=5, eta=0.0), "sigmoid")
    start = torch.randn(2, 4, 30, generator=seeded(0))
    first, second = (ddim_sample(echo, diffusion, MASK, 4, draws_of(MASK, a, a), start) for a in (1, 2))
    assert torch.equal(first, second)


def test_noise_estimate_comes_from_the_sample_before_clamping() -> None:
    diffusion = LabelDiffusion(DiffusionConfig(sampling_steps=2, eta=0.0, scale=0.5), "sigmoid")
    seen = []

    def decode(noisy: Tensor, t: Tensor) -> Tensor:
        seen.append(noisy)
        return torch.zeros_like(noisy)  # x0 = 0

    start = torch.full((1, 1, 1), 0.8)  # beyond ±scale
    ddim_sample(decode, diffusion, ONE, 1, draws_of(ONE, 0), start)
    now, then = (diffusion.schedule.alphas_bar_S[t].item() for t in diffusion.schedule.visited(2))
    following = math.sqrt(1 - then) * 0.8 / math.sqrt(1 - now)
    assert seen[0].item() == 1.0
    assert seen[1].item() == pytest.approx(min(following, 0.5) + 0.5, abs=1e-6)
    assert following != pytest.approx(0.5 * math.sqrt(1 - then))
