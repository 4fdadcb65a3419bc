"""What a training run is configured by: frozen dataclasses, checked on construction, and their YAML presets.

In: a preset's name or a YAML file, and `section.key=value` overrides. Out: a `TrainConfig`. All of it shapes the
weights, but for the settings in `FREE`, which may change when a run is taken up again. A model's own settings
are checked by that model.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from manifests.errors import InputError, Problem
from train.data.config import DataConfig, TargetConfig
from train.layers.checks import at_least, one_of, require

PRESETS = Path(__file__).parent / "presets"
# How long a run goes on, and how it is kept: nothing that changes what a step does.
FREE = ("epochs", "steps", "workers", "checkpoint_every", "keep_checkpoints")


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
    return build(TrainConfig, {} if values is None else values, file)


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_config(preset: str = "paper", overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a preset (a shipped name or a path to a YAML file) and applies `section.key=value` overrides.

    Raises InputError for an unknown preset, an unknown key or a value of the wrong type or range.
    """
    path = PRESETS / f"{preset}.yaml" if preset in preset_names() else Path(preset)
    if not path.is_file():
        expected = f"one of {', '.join(preset_names())} or a YAML file"
        raise InputError(Problem("--config", expected, value=preset))
    return with_overrides(config_from_dict(read_yaml(path), path), overrides)


def with_overrides(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """The config with `section.key=value` applied, each value in YAML, the last one winning."""
    if not overrides:
        return config
    values = config.to_dict()
    for override in overrides:
        _apply(override, values)
    return config_from_dict(values, "--set")


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises InputError, naming the file."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"readable YAML ({error})")) from error


def differences(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Dotted names of the settings that two configs, as plain data, don't have in common."""
    for name in dict.fromkeys((*one, *other)):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{where}{name}.")
        elif a != b or (name in one) != (name in other):
            yield f"{where}{name}"


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


def build(cls: type, values: Any, file: str | Path, where: str = "") -> Any:
    """The dataclass `cls` from a mapping. Raises one InputError for all that is wrong with it."""
    hints = get_type_hints(cls)
    known = [item.name for item in dataclasses.fields(cls)]
    if not isinstance(values, Mapping):
        raise InputError(
            Problem(file, f"a mapping of {', '.join(known)}", column=where or None, value=values)
        )
    built: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        if name not in known:
            problems.append(Problem(file, f"one of {', '.join(known)}", column=path, value=_shown(value)))
            continue
        try:
            built[name] = _converted(value, hints[name], path, file)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    try:
        return cls(**built)
    except InputError as error:
        raise InputError([dataclasses.replace(problem, file=file) for problem in error.problems]) from error


def _converted(value: Any, hint: Any, path: str, file: str | Path) -> Any:
    """A value as its field's type asks for it."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, {} if value is None else value, file, path)
    if _fits(value, hint):
        return value
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if option is float and isinstance(value, str):  # YAML takes 1e-4 for a text
            try:
                return float(value)
            except ValueError:
                continue
        if get_origin(option) is tuple and isinstance(value, list):
            item = get_args(option)[0]
            return tuple(_converted(one, item, path, file) for one in value)
    kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    raise InputError(Problem(file, kind, column=path, value=_shown(value)))


def _fits(value: Any, hint: Any) -> bool:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in options)
    if origin is Literal:
        return value in options
    if origin is dict:
        return isinstance(value, dict)
    if origin is not None:
        return False
    return isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)


def _apply(override: str, values: dict[str, Any]) -> None:
    """Sets `section.key=value` in nested `values`. What the key and the value are worth is checked later."""
    key, equals, text = override.partition("=")
    *parents, leaf = key.strip().split(".")
    section: Any = values
    for parent in parents:
        if not isinstance(section, dict):
            break
        # A model's own sections are not there until something is set in them.
        section = section.setdefault(parent, {}) if parents[0] == "settings" else section.get(parent)
    if not equals or not isinstance(section, dict):
        raise InputError(Problem("--set", "section.key=value", value=override))
    try:
        section[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(Problem("--set", "a value in YAML", column=key, value=text)) from error


def _shown(value: Any) -> Any:
    """None would not show: it is how a problem says that there is no value to show."""
    return "null" if value is None else value
