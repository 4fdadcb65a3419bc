"""What a training run is configured by: frozen dataclasses, checked on construction, and their YAML presets.

In: a preset's name or a YAML file, and `section.key=value` overrides. Out: a `TrainConfig`. All of it shapes the
weights, but for the settings in `FREE`, which may change when a run is taken up again. A model's own settings
are checked by that model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rhas.manifests.common import configs
from rhas.manifests.common.checks import at_least, one_of, require
from rhas.manifests.common.configs import from_mapping, overridden, preset_path, read_yaml
from rhas.manifests.common.errors import Problem
from rhas.train.data.config import DataConfig, TargetConfig

PRESETS = Path(__file__).parent / "presets"
# How long a run goes on, and how it is kept: nothing that changes what a step does.
FREE = ("epochs", "steps", "workers", "checkpoint_every", "keep_checkpoints")


@dataclass(frozen=True)
class PostprocessConfig:
    """How scores are smoothed; lengths in the frames that the model sees (`data.sample_rate`); None does nothing."""

    median: int | None = None  # frames that each score becomes the median of, along time
    purge: int | None = None  # segments of the best class that are shorter go to their neighbours

    def __post_init__(self) -> None:
        require(
            *(
                (frames is None or frames >= 1, f"postprocess.{name}", frames, "at least 1 frame, or null")
                for name, frames in vars(self).items()
            ),
            file="training config",
        )


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam."""

    lr: float = 1e-4
    weight_decay: float = 0.0
    clip_norm: float | None = None  # gradients' norm over all parameters; None clips nothing

    def __post_init__(self) -> None:
        clip = self.clip_norm
        require(
            (0 < self.lr < math.inf, "optimiser.lr", self.lr, "a number above 0"),
            (0 <= self.weight_decay < math.inf, "optimiser.weight_decay", self.weight_decay, "at least 0"),
            (clip is None or 0 < clip < math.inf, "optimiser.clip_norm", clip, "a number above 0, or null"),
            file="training config",
        )


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a run but the features folder. Defaults: HopaDIFF's paper, Section 5.1 and supplement."""

    model: str = "hopadiff"
    settings: dict[str, Any] = field(default_factory=dict)  # of the model; those left out are its defaults
    data: DataConfig = field(default_factory=DataConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    postprocess: PostprocessConfig = field(default_factory=PostprocessConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    epochs: int = 1000
    steps: int | None = None  # ends the run earlier than its epochs would
    batch: int = 4  # samples that are in memory together
    accumulate: int = 1  # batches in a step of the optimiser
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    balance_classes: bool = False  # weights of classes from their frequency in the training split
    seed: int = 0  # of weights, order, noise and dropout; `data.seed` is that of the split
    validate_every: int = 10  # epochs, and once at the end
    checkpoint_every: int = 500  # steps, and after each validation
    keep_checkpoints: int = 2  # the last ones; the best is kept besides
    workers: int = 0  # processes that read samples ahead

    def __post_init__(self) -> None:
        positive = ("epochs", "batch", "accumulate", "validate_every", "checkpoint_every", "keep_checkpoints")
        require(
            *at_least(self, 1, *positive),
            *at_least(self, 0, "workers"),
            (self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1, or null"),
            one_of(self, "precision"),
            (0 <= self.seed < 2**63, "seed", self.seed, "0 to 2^63 - 1"),
            file="training config",
        )

    def resolved(self, on_gpu: bool) -> TrainConfig:
        """The same with `auto` precision replaced by what it means on this hardware."""
        if self.precision != "auto":
            return self
        return dataclasses.replace(self, precision="bfloat16" if on_gpu else "float32")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in a YAML file."""
        return plain(dataclasses.asdict(self))


def config_from_dict(values: Any, file: str | Path = "training config") -> TrainConfig:
    """The inverse of `TrainConfig.to_dict`. Raises one InputError, naming `file`, for all that is wrong."""
    return from_mapping(TrainConfig(), values, file)


def preset_names() -> list[str]:
    return configs.preset_names(PRESETS)


def load_config(preset: str = "paper", overrides: Sequence[str] = ()) -> TrainConfig:
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
    return config_from_dict(overridden(config.to_dict(), overrides, open_sections=("settings",)), "--set")


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
        if name.split(".")[0] not in free
    ]


def setting(values: Mapping[str, Any], name: str) -> str:
    """The value of a dotted name, short enough for an error."""
    value: Any = values
    for part in name.split("."):
        value = value.get(part, "nothing") if isinstance(value, Mapping) else "nothing"
    text = f"{len(value)}: {', '.join(map(str, value))}" if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what YAML and JSON give back."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
