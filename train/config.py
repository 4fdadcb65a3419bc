"""What a training run is configured by: frozen settings, checked on construction, and their YAML presets.

In: a preset's name or a YAML file, and `section.key=value` overrides. Out: a `TrainConfig`. All of it shapes the
weights, but for the settings in `FREE`, which may change when a run is taken up again. A model's own settings
are checked by that model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rhas.manifests.common import configs
from rhas.manifests.common.configs import Settings, from_mapping, overridden, preset_path, read_yaml
from rhas.manifests.common.errors import Problem
from rhas.train import PRESETS
from rhas.train.data.augment import AugmentConfig
from rhas.train.data.config import DataConfig
from rhas.train.metrics.choosing import ReadOutConfig

# How long a run goes on, and how it is kept: nothing that changes what a step does.
FREE = (
    "epochs", "steps", "compile", "workers", "checkpoint_every", "keep_checkpoints", "callbacks", "data.in_memory",
)  # fmt: skip

GPU_WORKERS = 4
DEFAULT_PRESET = "hopadiff"


class PostprocessConfig(Settings):
    """How scores are smoothed; lengths in the frames that the model sees (`data.sample_rate`); null does nothing."""

    median: int | None = Field(None, ge=1)
    """Frames that each score becomes the median of, along time."""
    purge: int | None = Field(None, ge=1)
    """Segments of the best class that are no longer go to their neighbours."""


class OptimiserConfig(Settings):
    """Adam, its learning rate over the steps, and the average of the weights."""

    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decoupled: bool = False
    """AdamW: weights decay by themselves, not as a part of the gradient."""
    clip_norm: float | None = Field(None, gt=0)
    """Gradients' norm over all parameters; null clips nothing."""
    warmup: int = Field(0, ge=0)
    """Steps in which the learning rate rises to `lr`."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: after the warm-up the learning rate falls to 0 at the run's last step."""
    drop_after: int | None = Field(None, ge=1)
    """Epochs after which the learning rate is a tenth; null: never."""
    average: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential average of the weights, which is what is validated and kept; null: the weights."""


class TrainConfig(Settings, title="training config"):
    """Everything about a run but the features folder. Defaults: HopaDIFF's paper, Section 5.1 and supplement."""

    model: str = "hopadiff"
    settings: dict[str, Any] = Field({})
    """Of the model; those left out are its defaults."""
    data: DataConfig = DataConfig()
    readout: ReadOutConfig = ReadOutConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    epochs: int = Field(1000, ge=1)
    steps: int | None = Field(None, ge=1)
    """Ends the run earlier than its epochs would."""
    batch: int = Field(4, ge=1)
    """Samples that are in memory together."""
    accumulate: int = Field(1, ge=1)
    """Batches in a step of the optimiser."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    compile: bool = False
    """A step's losses as one compiled graph: fewer and larger operations, after minutes of compiling."""
    balance_classes: bool = False
    """Weights of classes from their frequency in the training split."""
    balance_bound: float | None = Field(10.0, ge=1)
    """Such weights are at most this, and at least its inverse; null: as they are."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of weights, order, noise and dropout; `data.seed` is that of the split."""
    validate_every: int = Field(10, ge=1)
    """Epochs, and once at the end."""
    patience: int | None = Field(None, ge=1)
    """Validations without a better one, after which a run ends before its epochs do; null: never."""
    checkpoint_every: int = Field(500, ge=1)
    """Steps, and after each validation."""
    keep_checkpoints: int = Field(2, ge=1)
    """The last ones; the best is kept besides."""
    workers: int | None = Field(None, ge=0)
    """Processes that read samples ahead; null: 4 on a GPU, none on a CPU, whose cores have enough to do."""
    callbacks: tuple[str, ...] = ()
    """Told how training goes: names of entry points in the group `rhas.callbacks`."""

    def resolved(self, on_gpu: bool) -> TrainConfig:
        """The same with precision and workers that are left open replaced by what they mean on this hardware."""
        config = self
        if config.precision == "auto":
            config = config.replace(precision="bfloat16" if on_gpu else "float32")
        if config.workers is None:
            config = config.replace(workers=GPU_WORKERS if on_gpu else 0)
        return config


def config_from_dict(values: Any, file: str | Path = "training config") -> TrainConfig:
    """The inverse of `TrainConfig.to_dict`. Raises one InputError, naming `file`, for all that is wrong."""
    return from_mapping(TrainConfig(), values, file)


def preset_names() -> list[str]:
    return configs.preset_names(PRESETS)


def load_config(preset: str = DEFAULT_PRESET, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a preset (a shipped name or a path to a YAML file) and applies `section.key=value` overrides.

    Raises InputError for an unknown preset, an unknown key or a value of the wrong type or range.
    """
    path = preset_path(preset, PRESETS, "--config")
    return with_overrides(config_from_dict(read_yaml(path), path), overrides)


def with_overrides(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """The config with `section.key=value` applied, each value in YAML, the last one winning."""
    if not overrides:
        return config
    # A model's own sections are not there until something is set in them.
    return config_from_dict(overridden(config, overrides, open_sections=("settings",)), "--set")


def differences(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Dotted names of the settings that two configs, as plain data, don't have in common."""
    for name in dict.fromkeys((*one, *other)):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{where}{name}.")
        elif a != b or (name in one) != (name in other):
            yield f"{where}{name}"


def refused_changes(
    file: Path, before: Mapping[str, Any], now: Mapping[str, Any], expected: str, free: Sequence[str]
) -> list[Problem]:
    """A problem for each setting that isn't as `file` has it, but for those below `free`."""
    return [
        Problem(file, f"{setting(before, name)}: {expected}", column=name, value=setting(now, name))
        for name in differences(before, now)
        if name not in free and name.split(".")[0] not in free
    ]


def setting(values: Mapping[str, Any], name: str) -> str:
    """The value of a dotted name, short enough for an error."""
    value: Any = values
    for part in name.split("."):
        value = value.get(part, "nothing") if isinstance(value, Mapping) else "nothing"
    text = f"{len(value)}: {', '.join(map(str, value))}" if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
