"""Weights that are cast once give what autocast gives, which casts them at each call."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rhas.extract.config import load_config
from rhas.extract.encode import load_encoder
from rhas.extract.ground import load_detector
from rhas.extract.run.workers import ModelWorker
from rhas.extract.weights.precision import cast_once

SENTENCE = "the woman in the red coat"


def casts(model: nn.Module, call, times: int) -> int:
    """How often a tensor is copied into another type."""
    record = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), record as seen:
        for _ in range(times):
            call()
    return sum(event.count for event in seen.key_averages() if event.key == "aten::_to_copy")


def test_autocast_casts_frozen_weights_at_each_call_and_cast_ones_never() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(8))).requires_grad_(False)
    images = torch.ones(2, 4)
    assert casts(model, lambda: model(images), 10) == 10 * (1 + 8 * 2)  # the input, 8 weights, 8 biases
    cast_once(model)
    assert casts(model, lambda: model(images), 10) == 10


@pytest.mark.parametrize("implementation", ["groundingdino", "transformers"])
def test_a_detector_answers_the_same_bits(implementation: str) -> None:
    config = load_config("tiny-random").detector.replace(implementation=implementation)
    detector = load_detector(config)
    frames = torch.randint(
        0, 256, (2, 96, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    caption = detector.captioner.captions([SENTENCE])[0]

    def answer() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return detector.forward(detector._prepare(frames), caption)

    logits, boxes = answer()
    cast_once(detector.model)
    for before, after in zip((logits, boxes), answer(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(("kind", "tolerance"), [("clip", 0.0), ("blip2", 2e-2)])
def test_an_encoder_gives_the_same_features(kind: str, tolerance: float) -> None:
    """BLIP-2's tower adds its class token in its patches' precision, bfloat16 then: the tolerance is of the scale."""
    encoder = load_encoder(load_config("tiny-random").encoder.replace(kind=kind))
    images = torch.rand(
        3, 3, encoder.image_size, encoder.image_size, generator=torch.Generator().manual_seed(0)
    )

    def features() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return encoder.read(encoder.see(images), SENTENCE)

    before = features()
    cast_once(encoder.model)
    torch.testing.assert_close(features(), before, atol=tolerance * before.abs().max().item(), rtol=0)


@pytest.mark.parametrize(("kind", "tokens"), [("clip", "mean"), ("blip2", "all")])
def test_a_worker_whose_weights_were_cast_reads_sentences(kind: str, tokens: str) -> None:
    config = load_config("tiny-random", [f"encoder.kind={kind}", f"encoder.tokens={tokens}"])
    vectors = {
        precision: ModelWorker(config.replace(precision=precision), 2, "cpu").prepare([SENTENCE])[SENTENCE]
        for precision in ("float32", "bfloat16")
    }
    assert vectors["bfloat16"].dtype == np.float32
    scale = abs(vectors["float32"]).max()
    np.testing.assert_allclose(vectors["bfloat16"], vectors["float32"], atol=5e-2 * scale)
