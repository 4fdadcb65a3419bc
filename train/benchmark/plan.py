"""What a benchmark is to run: systems, a base config, seeds and folds to the config of each run.

A seed is that of weights, order and noise; the split stays that of `data.seed`, so that systems and seeds are
compared on the same movies. With folds, each is a run for every seed (SYSTEM-seedK-foldN), and means go over folds
as well: cross-validation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.configs import preset_path, read_yaml
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.train.config import PRESETS, TrainConfig, config_from_dict, refused_changes, with_overrides
from rhas.train.data.splits import sides_of_fold
from rhas.train.evaluation.evaluation import read_metrics
from rhas.train.models.registry import model_config
from rhas.train.runs.run import RunFolder, read_json, with_model_settings

GROUPS = PRESETS / "benchmarks"
# How a run is carried out; nothing that its numbers depend on.
FREE = ("workers", "checkpoint_every", "keep_checkpoints", "data.in_memory")


@dataclass(frozen=True)
class System:
    """A model with settings of its own: `overrides` as after `--set`."""

    name: str
    model: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialFolder(RunFolder):
    """Paths below the folder of a benchmark's run."""

    @property
    def planned(self) -> Path:
        return self.root / "planned.yaml"

    @property
    def steps(self) -> Path:
        return self.root / "steps.csv"

    @property
    def cost(self) -> Path:
        return self.root / "cost.json"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"


@dataclass(frozen=True)
class Trial:
    """A system with a seed, and a fold if there are any."""

    system: System
    seed: int
    folder: TrialFolder
    config: TrainConfig  # with all settings of the model

    @property
    def name(self) -> str:
        return self.folder.root.name

    @property
    def done(self) -> bool:
        """Trained, and measured on the test split."""
        return self.folder.cost.is_file() and "test" in read_metrics(self.folder)


def systems_of(models: Sequence[str]) -> list[System]:
    """A system for each model, with its settings as they are."""
    return [System(name, name) for name in models]


def load_systems(preset: str) -> list[System]:
    """The systems of a shipped preset, or of a YAML file: names to `{model: …, set: [key=value, …]}`."""
    path = preset_path(preset, GROUPS, "--preset")
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not values:
        raise InputError(Problem(path, "a mapping of systems to model and settings"))
    systems, problems = [], []
    for name, entry in values.items():
        known = isinstance(entry, Mapping) and isinstance(entry.get("model"), str)
        overrides = entry.get("set", []) if known else []
        if not known or set(entry) - {"model", "set"} or not isinstance(overrides, list):
            expected = "{model: NAME, set: [key=value, …]}"
            problems.append(Problem(path, expected, column=str(name), value=entry))
        elif str(name) != Path(str(name)).name or str(name).startswith("."):
            problems.append(Problem(path, "a name that a folder can have", column=str(name)))
        else:
            systems.append(System(str(name), entry["model"], tuple(map(str, overrides))))
    if problems:
        raise InputError(problems)
    return systems


def trials(
    systems: Sequence[System],
    base: TrainConfig,
    overrides: Sequence[str],
    seeds: int,
    out: Path,
    folds: Sequence[int] = (),
) -> list[Trial]:
    """Every system with every seed 0 … seeds − 1 and fold, so ordered that an early table has all systems.

    A system whose config is an earlier one's, as a variant that the base has anyway, isn't run again.

    `overrides`, as after `--set`, go on top of the base. Both's model settings go to each system that knows them,
    but for the losses of another model than the base's. Raises InputError for what a system's model can't be, and
    for overrides that no system knows or that the benchmark sets itself.
    """
    if seeds < 1:
        raise InputError(Problem("--seeds", "at least 1", value=seeds))
    _check_overrides(systems, overrides)
    base = with_overrides(base, overrides)
    if folds:
        base = base.replace(data=base.data.replace(split="fold"))
    configs = {}
    for system in systems:
        if system.name in configs:
            raise InputError(Problem("--models", "each system once", value=system.name))
        configs[system.name] = _config(system, base)
    different = [
        s for i, s in enumerate(systems) if configs[s.name] not in [configs[t.name] for t in systems[:i]]
    ]
    planned = []
    for seed in range(seeds):
        for fold in folds or (None,):
            for system in different:
                config = configs[system.name].replace(seed=seed)
                name = f"{system.name}-seed{seed}"
                if fold is not None:
                    config = config.replace(data=config.data.replace(fold=fold))
                    name += f"-fold{fold}"
                planned.append(Trial(system, seed, TrialFolder(out / "runs" / name), config))
    return planned


def begin(planned: Sequence[Trial], features: Path, out: Path) -> None:
    """Writes what is to be run with what, for a rerun to be checked against.

    Raises InputError, before anything is changed, if the folder holds runs with other settings, or on other data.
    """
    data = {"features": str(features.absolute()), "digest": FeaturesReader(features).digest()}
    for trial in planned:
        if trial.config.data.split == "fold":
            sides_of_fold(FeaturesFolder(features), trial.config.data.fold)  # not after hours of other folds
    record, problems = out / "data.json", []
    if record.exists() and read_json(record).get("digest") != data["digest"]:
        expected = f"the features and labels that {out} was begun with (other data needs another --out)"
        problems.append(Problem(features, expected))
    expected = "the settings that the run began with (another config needs another --out)"
    for trial in planned:
        before = read_yaml(trial.folder.planned) if trial.folder.planned.exists() else None
        if isinstance(before, Mapping):
            problems += refused_changes(trial.folder.planned, before, trial.config.to_dict(), expected, FREE)
    if problems:
        raise InputError(problems)
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomically(record, json.dumps(data, indent=1))
    for trial in planned:
        trial.folder.root.mkdir(parents=True, exist_ok=True)
        write_text_atomically(trial.folder.planned, yaml.safe_dump(trial.config.to_dict(), sort_keys=False))


def _check_overrides(systems: Sequence[System], overrides: Sequence[str]) -> None:
    """Raises InputError for those that would have no effect."""
    known = {name for system in systems for name in dict(model_config(system.model))}
    problems = []
    for given in (*overrides, *(override for system in systems for override in system.overrides)):
        key = given.partition("=")[0].strip()
        section, _, name = key.partition(".")
        if key in ("seed", "model", "settings"):
            expected = "a setting that runs have in common (--models, --preset and --seeds say these)"
            problems.append(Problem("--set", expected, column=key, value=given))
        elif section == "settings" and name.split(".")[0] not in known:
            expected = f"a setting of one of the systems: {', '.join(sorted(known))}"
            problems.append(Problem("--set", expected, column=key, value=given))
    if problems:
        raise InputError(problems)


def _config(system: System, base: TrainConfig) -> TrainConfig:
    """A system's own, with nothing of the model left to defaults."""
    known = set(dict(model_config(system.model)))
    settings = {name: value for name, value in base.settings.items() if name in known}
    if system.model != base.model:  # whose losses are its own, of data that is the same
        settings.pop("losses", None)
        if "sigma" in (boundary := settings.pop("boundary", None) or {}):
            settings["boundary"] = {"sigma": boundary["sigma"]}
    values = base.to_dict() | {"model": system.model, "settings": settings}
    return with_model_settings(
        with_overrides(config_from_dict(values), system.overrides), f"system {system.name}"
    )
