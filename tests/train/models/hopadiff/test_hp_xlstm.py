"""HP-xLSTM: what the released code gets wrong (state between calls, no gradient, no exchange) is tested here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.models.hopadiff.hp_xlstm import HPxLSTM, HPxLSTMConfig


def block(cross_gates: bool = True) -> HPxLSTM:
    torch.manual_seed(0)
    return HPxLSTM(12, HPxLSTMConfig(heads=3, cross_gates=cross_gates, gate_width=8, chunk=16))


def features(frames: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    h, p = (torch.randn(2, 12, frames, generator=generator) for _ in range(2))
    return h, p, torch.ones(2, frames, dtype=torch.bool)


@pytest.mark.parametrize("cross_gates", [True, False])
def test_padding(check_padding: Callable[..., None], cross_gates: bool) -> None:
    model = block(cross_gates)
    check_padding(lambda x, mask: model(x[0], x[1], mask), 12, 12)


def test_stateless_and_each_video_by_itself() -> None:
    model, (h, p, mask) = block(), features()
    once, again = model(h, p, mask), model(h, p, mask)
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1])
    other = model(torch.cat([h[:1], h[1:] + 5]), p, mask)
    torch.testing.assert_close(other[0][0], once[0][0])


def test_branches_exchange_through_the_gates_only() -> None:
    h, p, mask = features()
    for cross_gates in (True, False):
        model = block(cross_gates)
        same = torch.allclose(model(h, p, mask)[0], model(h, p * 2 + torch.randn_like(p), mask)[0])
        assert same is not cross_gates


def test_causal_without_cross_gates() -> None:
    model, (h, p, mask) = block(cross_gates=False), features()
    changed = h.clone()
    changed[:, :, 25] *= -1
    before, after = model(h, p, mask)[0], model(changed, p, mask)[0]
    torch.testing.assert_close(after[:, :, :25], before[:, :, :25], rtol=0, atol=1e-5)
    assert not torch.allclose(after[:, :, 39], before[:, :, 39])  # the memory reaches the last frame


@pytest.mark.parametrize("cross_gates", [True, False])
def test_gradient_reaches_every_parameter(cross_gates: bool) -> None:
    model, (h, p, mask) = block(cross_gates), features()
    out_h, out_p = model(h, p, mask)
    (out_h.square().sum() + out_p.square().sum()).backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in model.parameters())


def test_inits() -> None:
    model = HPxLSTM(400, HPxLSTMConfig(heads=100))
    assert torch.equal(model.holistic.forget_gate.bias.detach(), torch.linspace(3, 6, 100))
    assert 0.07 < model.input_gates.holistic.bias.std() < 0.13


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(AssertionError, match=r"config\.heads = 5"):
        HPxLSTM(12, HPxLSTMConfig(heads=5))
    with pytest.raises(InputError, match="gate_width"):
        HPxLSTMConfig(gate_width=0)


@pytest.mark.parametrize("cross_gates", [True, False])
def test_what_was_seen_in_the_first_frames_is_learnt_to_be_known_hundreds_of_frames_later(
    cross_gates: bool,
) -> None:
    """Nothing else tells it: whatever looks at neighbouring frames only stays at one half."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model, head = (
        HPxLSTM(16, HPxLSTMConfig(heads=2, cross_gates=cross_gates, gate_width=16)),
        torch.nn.Linear(16, 1),
    )
    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-2)
    right = []
    for _ in range(80):
        h, p = 0.3 * torch.randn(2, 16, 16, 240, generator=generator)
        cue = torch.randint(0, 2, (16,), generator=generator)
        p[:, 0, :4] += 3 * (2 * cue[:, None] - 1)
        p[:, 1, :4] += 3  # here is something to keep
        logits = head(model(h, p, torch.ones(16, 240, dtype=torch.bool))[1][:, :, 120:].transpose(1, 2))[
            ..., 0
        ]
        truth = cue[:, None].expand_as(logits)
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, truth.float()).backward()
        optimiser.step()
        right.append(((logits > 0) == (truth > 0)).float().mean().item())
    assert sum(right[-10:]) / 10 > 0.95
