"""Labels as signal: the maps to and fro, noising, and the link."""

from __future__ import annotations

import pytest
import torch
from seeded_generators import draws_of

from rhas.manifests.common.errors import InputError
from rhas.train.models.diffusion.labels import (
    DiffusionConfig,
    LabelDiffusion,
    log_probabilities,
    probabilities,
)


def labels() -> torch.Tensor:
    return (torch.rand(3, 4, 200, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def test_signal_and_back() -> None:
    diffusion, y = LabelDiffusion(DiffusionConfig(scale=0.5), "sigmoid"), labels()
    assert diffusion.to_signal(y).unique().tolist() == [-0.5, 0.5]
    assert torch.equal(diffusion.to_labels(diffusion.to_signal(y)), y)
    assert diffusion.to_labels(torch.tensor([-9.0, 0.0, 9.0])).tolist() == [0.0, 0.5, 1.0]


def test_q_sample_has_the_schedules_mean_and_variance() -> None:
    diffusion, y = LabelDiffusion(DiffusionConfig(scale=1.0), "sigmoid"), torch.ones(2, 50, 400)
    t = torch.tensor([10, 600])
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    x = diffusion.q_sample(y, t, noise)
    alpha = diffusion.schedule.alphas_bar_S[t].float()
    torch.testing.assert_close(x.mean((1, 2)), alpha.sqrt(), rtol=0, atol=0.03)
    torch.testing.assert_close(x.var((1, 2)), 1 - alpha, rtol=0.03, atol=0)


def test_draw_is_the_generators() -> None:
    diffusion, y = LabelDiffusion(DiffusionConfig(), "sigmoid"), labels()
    (once, t), (again, _), (other, _) = (
        diffusion.draw(y, draws_of(torch.ones_like(y[:, 0]).bool(), seed)) for seed in (1, 1, 4)
    )
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert once.min() >= 0 and once.max() <= 1 and t.shape == (3,) and len(t.unique()) > 1


def test_links() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    for link in ("softmax", "sigmoid"):
        torch.testing.assert_close(log_probabilities(logits, link).exp(), probabilities(logits, link))
    torch.testing.assert_close(probabilities(logits, "softmax").sum(1), torch.ones(2, 7))
    torch.testing.assert_close(probabilities(logits, "sigmoid"), logits.sigmoid())


def test_config_is_checked() -> None:
    with pytest.raises(InputError) as caught:
        DiffusionConfig(steps=0, scale=0, sampling_steps=0, eta=-1)
    assert [p.column for p in caught.value.problems] == ["steps", "scale", "sampling_steps", "eta"]
    with pytest.raises(InputError, match="sampling_steps: got 2000: expected at most steps, which is 1000"):
        DiffusionConfig(sampling_steps=2000)
