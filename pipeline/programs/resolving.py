"""A preset of either stage with all of its settings, and the JSON schema that they follow.

In: stage, preset and overrides. Out: texts to print. A training's settings include those of its model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import yaml
from pydantic import create_model

from rhas.extract.config import ExtractConfig, load_config
from rhas.train.config import TrainConfig
from rhas.train.models.registry import model_config
from rhas.train.runs.settings import load_whole_config


def resolved(stage: str, preset: str, overrides: Sequence[str]) -> str:
    """All settings of a preset, as YAML that is a preset again. Raises InputError."""
    return yaml.safe_dump(_load(stage, preset, overrides).to_dict(), sort_keys=False)


def schema(stage: str, preset: str, overrides: Sequence[str]) -> str:
    """The JSON schema of presets such as this one, for editors: of its stage, and with its model. Raises InputError."""
    config = _load(stage, preset, overrides)
    described = type(config)
    if isinstance(config, TrainConfig):
        model = model_config(config.model)
        fields: Any = {"model": (Literal[config.model], config.model), "settings": (type(model), model)}
        described = create_model("TrainConfig", __base__=TrainConfig, **fields)
    return json.dumps(described.model_json_schema(), indent=2)


def _load(stage: str, preset: str, overrides: Sequence[str]) -> ExtractConfig | TrainConfig:
    return load_config(preset, overrides) if stage == "extract" else load_whole_config(preset, overrides)
