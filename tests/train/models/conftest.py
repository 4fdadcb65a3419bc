"""Golden numbers of the authors' released code, and small models. See the README in ../shared/golden."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from train.models.actdiff import ActDiff
from train.models.actdiff_config import ActDiffConfig, DecoderConfig, DiffusionConfig, EncoderConfig

FOLDER = Path(__file__).parents[4] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]:
    """Tensors and metadata of a golden file. Tests of them skip where the folder isn't there."""

    def load(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        path = FOLDER / name
        if not path.is_file():
            pytest.skip(f"{path} is not here")
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["json"])  # noqa: SIM118

    return load


@pytest.fixture
def small() -> ActDiff:
    """An ActDiff for 6 features and 4 classes, several per frame."""
    config = ActDiffConfig(
        EncoderConfig(layers=4, width=8, condition_layers=(1, 3)),
        DecoderConfig(layers=3, width=6, time_width=16),
        DiffusionConfig(sampling_steps=4),
    )
    torch.manual_seed(0)
    return ActDiff(6, 4, config)
