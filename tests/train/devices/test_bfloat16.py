"""Every model in bfloat16, which is what `precision: auto` means on a GPU: on the CPU, beside float32.

A number in bfloat16 has 8 bits, so an operation is off by up to 1 in 512. Over the tens of operations, one after the
other, that a gradient goes through, that adds up to some percent. A gradient that is off by a share δ at random has
a cosine of about 1 − δ²/2 with the right one: of .995 for a tenth, which is what is allowed here.
"""

from __future__ import annotations

import math

import pytest
import torch
from every_model import CASES, KINDS, NoOptimiser, small_config, small_model
from made_batches import BATCH
from torch import Tensor, nn

from rhas.train.device import autocast
from rhas.train.fitting.loop import train_step
from rhas.train.models.segmenter import Segmenter
from rhas.train.scoring.inference import _predict

COSINE, NORM = 0.995, 0.1


def off(found: Tensor, right: Tensor, least: float = COSINE) -> str:
    """How a gradient is off by more than bfloat16 explains; empty if it isn't."""
    cosine = float(torch.cosine_similarity(found, right, dim=0))
    norm = float(found.norm() / right.norm())
    fine = cosine >= least and abs(norm - 1) <= NORM
    return "" if fine else f"cosine {cosine:.4f}, norm {norm:.3f} of the right one"


# The boundary term for sets of labels asks neighbours to be equal by |p_t − p_{t−1}|, which has a kink where they are:
# to begin with, all are, and which side of it rounding is on is chance.
KINKED = 0.9


# Scores that are shares of votes: rounding may turn over a frame of two equal classes, one in ten or so of a segment.
VOTED, ONE_VOTE = ("asquery-breakfast", "refined"), 0.15


def gradient(model: Segmenter) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("case", CASES)
def test_a_training_step(case: str) -> None:
    losses, gradients = {}, {}
    for precision in ("float32", "bfloat16"):
        config = small_config(case, precision=precision)
        model = small_model(config)
        losses[precision], norm = train_step(model, NoOptimiser(), [BATCH], config, 0)  # type: ignore[arg-type]
        assert math.isfinite(norm) and all(p.dtype == torch.float32 for p in model.parameters())
        gradients[precision] = gradient(model)
    boundary = small_config(case).settings.get("boundary") or {}
    least = KINKED if boundary.get("target") == "labels" else COSINE
    assert not off(gradients["bfloat16"], gradients["float32"], least)
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05, abs=0.01)


@pytest.mark.parametrize("case", KINDS)
def test_losses_are_float32(case: str) -> None:
    """A mean over thousands of frames in 8 bits would be noise."""
    config = small_config(case, precision="bfloat16")
    model = small_model(config)
    with autocast(torch.device("cpu"), config.precision):
        losses = model.losses(BATCH, BATCH.generators("cpu", 0))
    assert {name: loss.dtype for name, loss in losses.items()} == dict.fromkeys(losses, torch.float32)


@pytest.mark.parametrize("case", KINDS)
def test_a_prediction(case: str) -> None:
    scores = {}
    for precision in ("float32", "bfloat16"):
        config = small_config(case, precision=precision)
        scores[precision] = _predict(small_model(config).eval(), BATCH, config)
    for head, found in scores["bfloat16"].items():
        assert found.dtype == torch.float32
        allowed = ONE_VOTE if (case, head) == VOTED else 0.05
        assert float((found - scores["float32"][head]).abs().max()) < allowed, head


def test_what_is_called_off() -> None:
    """bfloat16 passes; three bits, a part of the gradient that is missing, and a gradient half as long don't."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(part for _ in range(8) for part in (nn.Linear(64, 64), nn.LayerNorm(64), nn.Tanh()))
    )
    x, y = torch.randn(2, 32, 64)

    def found(rounded: torch.dtype) -> Tensor:
        model.zero_grad()
        out = x
        for layer in model:
            out = layer(out) if rounded == torch.float32 else layer(out.to(rounded).float())
        (out - y).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])  # type: ignore[union-attr]

    right = found(torch.float32)
    part = right.clone()
    part[: 64 * 64] = 0
    assert not off(found(torch.bfloat16), right)
    assert off(found(torch.float8_e5m2), right) and off(part, right) and off(right / 2, right)
