"""A run's model, built for its data: sizes, numbers of tokens, weights of classes.

In: a whole configuration and what data.json says. Out: a segmenter with fresh weights, and what weights have to be for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.status import streams_of
from rhas.train.config import TrainConfig
from rhas.train.data import SampleSet, class_counts
from rhas.train.models.diffusion.labels import Link
from rhas.train.models.losses import class_weights
from rhas.train.models.registry import build_model, model_config
from rhas.train.models.segmenter import Segmenter, SupervisedSegmenter
from rhas.train.models.streams import streams_taken
from rhas.train.runs.checkpoint import ModelSpec


def spec_of(config: TrainConfig, data: dict[str, Any]) -> ModelSpec:
    """What weights of such a run are for."""
    settings = _bound(config, data)
    return ModelSpec(config.model, settings, _input_size(config, data), tuple(data["actions"]))


def build_for(config: TrainConfig, data: dict[str, Any], training: SampleSet | None = None) -> Segmenter:
    """The model with fresh weights, and those of classes if they are asked for."""
    with torch.random.fork_rng(devices=[]):  # modules know no other way to draw their weights
        torch.manual_seed(config.seed)
        model = build_model(
            config.model, _input_size(config, data), len(data["actions"]), _bound(config, data)
        )
    check_streams(model, config, data.get("extraction"), "training config")
    if config.balance_classes and training is not None:  # later, they come with the checkpoint
        if not isinstance(model, SupervisedSegmenter):
            expected = f"false: model {config.model} takes no weights of classes"
            raise InputError(Problem("training config", expected, column="balance_classes", value=True))
        model.weight_classes(balancing_weights(training, model.link, config.balance_bound))
    if training is not None:
        model.prepare(training)
    return model


def balancing_weights(training: SampleSet, link: Link, bound: float | None = None) -> Tensor:
    """Weights [C] that balance the classes of the training split: see `losses.class_weights`.

    Raises InputError if nothing is labelled.
    """
    counts_C = torch.from_numpy(class_counts(training.labels()))
    frames = sum(int(valid_T.sum()) for _, valid_T in training.labels())
    return class_weights(counts_C.float(), frames, link, bound)


def _input_size(config: TrainConfig, data: dict[str, Any]) -> int:
    return int(data["feature_size"]) * int(data.get("tokens", 1)) + config.data.boxes.size


def _bound(config: TrainConfig, data: dict[str, Any]) -> dict[str, Any]:
    """The model's settings; for one that takes all query tokens, with their number. Raises InputError for another."""
    if "tokens" not in data or "tokens" not in config.settings:
        return config.settings
    if (given := config.settings["tokens"]) not in (None, data["tokens"]):
        expected = f"null, or {data['tokens']}, which the features have"
        raise InputError(Problem("training config", expected, column="settings.tokens", value=given))
    return {**config.settings, "tokens": data["tokens"]}


def check_streams(model: Segmenter, config: TrainConfig, extraction: Any, file: str | Path) -> None:
    """Raises InputError, naming `file`, where a model reads a stream that features of this extraction haven't got."""
    lacking = streams_taken(model) - set(there := streams_of(extraction))
    if lacking:
        (stream,) = there
        ways = "extract with --set encoder.streams=both into another folder"
        if "stream" in dict(model_config(config.model)):
            ways = f"--set settings.stream={stream}, or {ways}"
        elif stream == "holistic" and "partial_branch" in dict(model_config(config.model)):
            ways = f"--set settings.partial_branch=false, or {ways}"
        expected = f"{' and '.join(sorted(lacking))} features, which model {config.model} reads: {ways}"
        raise InputError(Problem(file, expected, column="encoder.streams", value=stream))
