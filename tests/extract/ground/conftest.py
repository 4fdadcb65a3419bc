"""Small GroundingDINOs with random weights, the same in both implementations, and frames to show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rhas.extract.config import DetectorConfig
from rhas.extract.ground.architecture import Architecture
from rhas.extract.weights.random_tokenizers import write_bert_tokenizer
from rhas.extract.weights.torchvision_fix import ensure_importable

ensure_importable()

# Two of everything that repeats, so that a swapped layer shows; an odd window, so that shifts and padding do.
SMALL = Architecture(
    swin_dim=16,
    swin_depths=(2, 1, 2, 1),
    swin_heads=(1, 2, 4, 4),
    swin_window=5,
    ffn=64,
    encoder_layers=2,
    decoder_layers=2,
    queries=12,
)


def _make_config(**changes: Any) -> DetectorConfig:
    values: dict[str, Any] = {
        "weights": "random:tiny",
        "short_side": 96,
        "long_side": 160,
        "box_threshold": 0.0,
    } | changes
    return DetectorConfig(**values)


def _make_frames(count: int, seed: int = 0, height: int = 72, width: int = 100) -> Tensor:
    """[count, H, W, 3] uint8: smooth random colours, more like a picture than noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 6, 8), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="session")
def make_config() -> Callable[..., DetectorConfig]:
    return _make_config


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., Tensor]:
    return _make_frames


@pytest.fixture(scope="session")
def small_architecture() -> Architecture:
    return SMALL


@pytest.fixture(scope="session")
def text_encoder_folder(tmp_path_factory) -> Path:
    """A small BERT's config and tokenizer, as `detector.text_encoder` names them; no weights."""
    from transformers import BertConfig

    folder = tmp_path_factory.mktemp("bert")
    write_bert_tokenizer(folder)
    BertConfig(
        vocab_size=1280, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_parts(text_encoder_folder):
    """(BertConfig, tokenizer) of that folder."""
    from rhas.extract.ground.sources import text_encoder

    return text_encoder(str(text_encoder_folder))


@pytest.fixture(scope="session")
def official_model(text_parts):
    """The released implementation in `SMALL`, random weights."""
    from rhas.extract.ground.official import build
    from rhas.extract.ground.random_weights import seeded

    return seeded(lambda: build(SMALL, *text_parts)).eval()


@pytest.fixture(scope="session")
def port_model(official_model, text_parts):
    """transformers' port with the released implementation's weights."""
    from transformers import GroundingDinoForObjectDetection

    from rhas.extract.ground.checkpoint import load_strictly, to_transformers

    model = GroundingDinoForObjectDetection(SMALL.transformers_config(text_parts[0]))
    load_strictly(model, to_transformers(official_model.state_dict()), "the released model")
    return model.eval()


@pytest.fixture(scope="session")
def small_detectors(official_model, port_model, text_parts):
    """(released, port) with the same weights."""
    from rhas.extract.ground.official import OfficialDetector
    from rhas.extract.ground.port import PortDetector
    from rhas.extract.ground.text import Captioner

    captioner = Captioner(text_parts[1], 256)
    return (
        OfficialDetector(_make_config(implementation="groundingdino"), official_model, captioner),
        PortDetector(_make_config(implementation="transformers"), port_model, captioner),
    )


@pytest.fixture(params=["groundingdino", "transformers"])
def detector(request, small_detectors):
    return small_detectors[0 if request.param == "groundingdino" else 1]
