"""The whole configuration of a run: with all settings of its model, and data as the model needs it.

In: presets, overrides, another model's name. Out: a checked `TrainConfig`; and what of a finished run may still be
changed where it is used, since it doesn't shape weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.config import (
    DEFAULT_PRESET,
    TrainConfig,
    differences,
    load_config,
    preset_names,
    setting,
    with_overrides,
)
from rhas.train.models.registry import data_needs, model_config, model_names
from rhas.train.models.segmenter import Segmenter

# What a run may be used with other settings of: none of them shapes weights.
USE = (
    "settings.diffusion.sampling_steps", "settings.diffusion.eta", "readout.heads", "readout.shares",
    "readout.smoothing", "readout.width", "readout.decoding", "postprocess", "batch", "precision",
)  # fmt: skip
READING = (*USE, "readout")  # and where the read-out is chosen anew


def changed_use(config: TrainConfig, overrides: Sequence[str]) -> tuple[TrainConfig, tuple[str, ...]]:
    """The config with other settings of those in `USE`, and what is other in it, as name=value.

    Raises InputError, naming the settings, for those that shape weights.
    """
    if not overrides:
        return config, ()
    now = with_model_settings(with_overrides(config, overrides), "--set")
    before, after = config.to_dict(), now.to_dict()
    names = sorted(differences(before, after))
    expected = f"one of {', '.join(USE)}: what else there is shaped the weights, or is of no use to them"
    if problems := [
        Problem("--set", expected, column=name, value=setting(after, name))
        for name in names
        if not any(name == free or name.startswith(f"{free}.") for free in USE)
    ]:
        raise InputError(problems)
    return now, tuple(f"{name}={setting(after, name)}" for name in names)


def check_postprocess(model: Segmenter, config: TrainConfig, file: str | Path = "training config") -> None:
    """Raises InputError for what can't be done to the scores of several labels a frame."""
    if model.link == "sigmoid" and config.postprocess.purge is not None:
        expected = "null: only where a frame has one label can a short segment go to its neighbours"
        raise InputError(Problem(file, expected, column="postprocess.purge", value=config.postprocess.purge))


def with_model_settings(config: TrainConfig, file: str | Path = "training config") -> TrainConfig:
    """With all settings of the model, checked, and data as it needs it. Raises InputError, naming `file` and
    `settings.…`."""
    settings = model_config(config.model, config.settings, file, "settings")
    needs = [f"data.{name}={value}" for name, value in data_needs(config.model, config.settings).items()]
    return with_overrides(config.replace(settings=settings.to_dict()), needs)


def preset_for(model: str | None) -> str:
    """What a model is trained as where no preset is named: its own, else the default one, as far as it knows that.

    Raises InputError for an unknown model.
    """
    if model is None or model in preset_names():
        return model or DEFAULT_PRESET
    if model not in model_names():
        raise InputError(Problem("--model", f"one of {', '.join(model_names())}", value=model))
    return DEFAULT_PRESET


def load_whole_config(preset: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """As `load_config`, with all settings of the model. Raises InputError.

    If another model is asked for than the preset's, the preset's model settings go to it as far as it knows them.
    """
    source = f"{preset} with --set" if overrides else preset
    base = load_config(preset)
    named = [given for given in overrides if given.partition("=")[0].strip() == "model"]
    base = for_model(base, with_overrides(TrainConfig(model=base.model), named).model)
    return with_model_settings(with_overrides(base, overrides), source)


def for_model(base: TrainConfig, model: str) -> TrainConfig:
    """The config for a model that may be another: with those of the model's settings that both have.

    But not with the losses' weights: how they weigh is a model's own, of labels that are the same.
    """
    if model == base.model:
        return base
    known = set(dict(model_config(model)))
    settings = {
        name: value
        for name, value in base.settings.items()
        if name in known and _takes(model, name, value, base.model)
    }
    for section, shared in (("losses", ("over_classes",)), ("boundary", ("sigma", "target"))):
        own = settings.pop(section, None) or {}
        if kept := {name: own[name] for name in shared if name in own}:
            settings[section] = kept
    return base.replace(model=model, settings=settings)


def _takes(model: str, name: str, value: Any, other: str) -> bool:
    """Whether a model's setting can have this value of another model's.

    A section may be one of the other model alone; what is wrong for both is for an error to tell.
    """
    return _valid(model, name, value) or (isinstance(value, Mapping) and not _valid(other, name, value))


def _valid(model: str, name: str, value: Any) -> bool:
    try:
        model_config(model, {name: value})
    except InputError:
        return False
    return True
