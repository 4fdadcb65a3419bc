"""What a benchmark is to run: systems, a base config, seeds and folds to the config of each run.

A seed is that of weights, order and noise, and of the split where one is drawn: run K takes the base's `data.seed` + K,
so that what is said of a system is not said of one choice of movies. All systems of a seed see the same split. Those of
a manifest or fold stay. With folds, each is a run for every seed (SYSTEM-seedK-foldN), and means go over folds as well:
cross-validation.

A system `from` another has that one's weights, which it reads otherwise: another head, fewer sampling steps.
Each system may also be run on other features of the same persons, such as those of true boxes, as SYSTEM@NAME.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.configs import preset_path, read_yaml
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.tables.manifest import load_manifest
from rhas.train.config import (
    PRESETS,
    TrainConfig,
    config_from_dict,
    refused_changes,
    with_overrides,
)
from rhas.train.data.splits import sides_of_fold
from rhas.train.evaluation.evaluation import read_metrics
from rhas.train.models.registry import model_config
from rhas.train.runs.run import RunFolder, read_json
from rhas.train.runs.settings import READING, for_model, with_model_settings

GROUPS = PRESETS / "benchmarks"
# How a run is carried out; nothing that its numbers depend on.
FREE = ("workers", "checkpoint_every", "keep_checkpoints", "data.in_memory")
DRAWN = ("random", "cross-movie")  # splits that depend on a seed


@dataclass(frozen=True)
class System:
    """A model with settings of its own: `overrides` as after `--set`. `source`: the system whose weights it reads."""

    name: str
    model: str
    overrides: tuple[str, ...] = ()
    source: str | None = None
    features: str = ""  # which of other features of the same persons; empty: the first


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

    @property
    def anticipation(self) -> Path:
        return self.root / "anticipation.json"

    @property
    def origin(self) -> Path:
        """Where the run has weights of another run beside it: that one's name."""
        return self.root / "from.txt"

    @property
    def source(self) -> TrialFolder | None:
        """The run whose weights this one has; None if it trains its own."""
        if not self.origin.is_file():
            return None
        return TrialFolder(self.root.parent / self.origin.read_text().strip())

    @property
    def done(self) -> bool:
        """Trained, and measured on the test split."""
        return self.cost.is_file() and "test" in read_metrics(self)


@dataclass(frozen=True)
class Trial:
    """A system with a seed, and a fold if there are any."""

    system: System
    seed: int
    folder: TrialFolder
    config: TrainConfig  # with all settings of the model
    source: str | None = None  # the name of the trial whose weights it reads

    @property
    def name(self) -> str:
        return self.folder.root.name

    @property
    def fold(self) -> int | None:
        return self.config.data.fold if self.config.data.split == "fold" else None

    @property
    def done(self) -> bool:
        return self.folder.done


def systems_of(models: Sequence[str]) -> list[System]:
    """A system for each model, with its settings as they are."""
    return [System(name, name) for name in models]


def load_systems(preset: str, before: Sequence[System] = ()) -> list[System]:
    """The systems of a shipped preset, or of a YAML file: names to `{model: …, set: [key=value, …]}`, or to
    `{from: SYSTEM, set: […]}` for one with the weights of a system above it, or of one of `before`.
    """
    path = preset_path(preset, GROUPS, "--preset")
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not values:
        raise InputError(Problem(path, "a mapping of systems to model and settings"))
    problems: list[Problem] = []
    above = {system.name: system for system in before}
    systems = []
    for name, entry in values.items():
        system = _system(str(name), entry, above)
        if isinstance(system, System):
            systems.append(system)
            above[system.name] = system
        else:
            expected, value = system
            problems.append(Problem(path, expected, column=str(name), value=value))
    if problems:
        raise InputError(problems)
    return systems


def _system(name: str, entry: Any, above: Mapping[str, System]) -> System | tuple[str, Any]:
    """A system of a preset; or what was expected, and what there is."""
    kind = next((key for key in ("model", "from") if isinstance(entry, Mapping) and key in entry), None)
    overrides = entry.get("set", []) if kind else []
    known = kind and isinstance(entry[kind], str) and not set(entry) - {kind, "set"}
    if not known or not isinstance(overrides, list):
        return "{model: NAME, set: [key=value, …]} or {from: SYSTEM, set: [key=value, …]}", entry
    if name != Path(name).name or name.startswith("."):
        return "a name that a folder can have", None
    own = tuple(map(str, overrides))
    if kind == "model":
        return System(name, entry["model"], own)
    source = above.get(entry["from"])
    if source is None or source.source is not None:
        trained = [other.name for other in above.values() if other.source is None]
        return f"from one of the systems above it that are trained: {', '.join(trained) or 'none'}", entry[
            "from"
        ]
    return System(name, source.model, (*source.overrides, *own), source.name)


def on_features(systems: Sequence[System], names: Sequence[str]) -> list[System]:
    """The systems, then each again on other features that have these names. Raises InputError for unfit names."""
    problems = []
    for name in names:
        if (
            not name
            or name != Path(name).name
            or name.startswith(".")
            or "@" in name
            or names.count(name) > 1
        ):
            expected = "NAME=FOLDER, with a name of its own that a folder can have"
            problems.append(Problem("--also", expected, value=name))
    if problems:
        raise InputError(problems)
    return [*systems, *(_on(system, name) for name in names for system in systems)]


def _on(system: System, features: str) -> System:
    source = None if system.source is None else f"{system.source}@{features}"
    return replace(system, name=f"{system.name}@{features}", source=source, features=features)


def trials(
    systems: Sequence[System],
    base: TrainConfig,
    overrides: Sequence[str],
    seeds: int,
    out: Path,
    folds: Sequence[int] = (),
) -> list[Trial]:
    """Every system with every seed 0 … seeds − 1 and fold, so ordered that an early table has all systems.

    A system whose config is an earlier one's, as a variant that the base has anyway, isn't run again; one with
    the weights of such a system has those of the earlier one.

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
    configs: dict[str, TrainConfig] = {}
    for system in systems:
        if system.name in configs:
            raise InputError(Problem("--models", "each system once", value=system.name))
        configs[system.name] = _config(system, base)
    _check_sources(systems, configs)
    first: dict[str, str] = {}  # each system's earliest with the same config and features
    what = {system.name: (system.features, configs[system.name]) for system in systems}
    for name in configs:
        first[name] = next((other for other in first.values() if what[other] == what[name]), name)
    planned = []
    for seed in range(seeds):
        for fold in folds or (None,):
            for system in systems:
                if first[system.name] != system.name:
                    continue
                config = configs[system.name].replace(seed=seed)
                end = f"-seed{seed}"
                if config.data.split in DRAWN:
                    config = config.replace(data=config.data.replace(seed=base.data.seed + seed))
                if fold is not None:
                    config = config.replace(data=config.data.replace(fold=fold))
                    end += f"-fold{fold}"
                source = None if system.source is None else first[system.source] + end
                folder = TrialFolder(out / "runs" / (system.name + end))
                planned.append(Trial(system, seed, folder, config, source))
    return planned


def begin(
    planned: Sequence[Trial], features: Path, out: Path, also: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Writes what is to be run with what, for a rerun to be checked against. `also`: other features, by name.

    Raises InputError, before anything is changed, if the folder holds runs with other settings, or on other data, and
    for other features that aren't of the same persons with the same labels.
    """
    data: dict[str, Any] = {"features": str(features.absolute()), "digest": FeaturesReader(features).digest()}
    for name, folder in also.items():
        _check_same_truth(features, folder)
        digest = FeaturesReader(folder).digest()
        data.setdefault("also", {})[name] = {"features": str(folder.absolute()), "digest": digest}
    for trial in planned:
        if trial.config.data.split == "fold":
            sides_of_fold(FeaturesFolder(features), trial.config.data.fold)  # not after hours of other folds
    record, problems = out / "data.json", []
    before = read_json(record) if record.exists() else {}
    expected = f"the features and labels that {out} was begun with (other data needs another --out)"
    if before and before.get("digest") != data["digest"]:
        problems.append(Problem(features, expected))
    for name, folder in also.items():
        known = before.get("also", {}).get(name)
        if known and known["digest"] != data["also"][name]["digest"]:
            problems.append(Problem(folder, expected))
    if before.get("also"):  # of runs that this command doesn't name
        data["also"] = {**before["also"], **data.get("also", {})}
    expected = "the settings that the run began with (another config needs another --out)"
    for trial in planned:
        planned_before = read_yaml(trial.folder.planned) if trial.folder.planned.exists() else None
        if isinstance(planned_before, Mapping):
            # What it doesn't have is as it was then: the default.
            before_config = config_from_dict(planned_before, trial.folder.planned).to_dict()
            problems += refused_changes(
                trial.folder.planned, before_config, trial.config.to_dict(), expected, FREE
            )
            source = trial.folder.source
            if (source and source.root.name) != trial.source:
                began = f"its weights {f'from {source.root.name}' if source else 'trained'}, as the run began"
                problems.append(Problem(trial.folder.planned, began, column="from", value=trial.source))
    if problems:
        raise InputError(problems)
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomically(record, json.dumps(data, indent=1))
    for trial in planned:
        trial.folder.root.mkdir(parents=True, exist_ok=True)
        if trial.source is not None:
            write_text_atomically(trial.folder.origin, f"{trial.source}\n")
        write_text_atomically(trial.folder.planned, yaml.safe_dump(trial.config.to_dict(), sort_keys=False))


def _check_same_truth(features: Path, other: Path) -> None:
    """Raises InputError if two folders aren't of the same persons with the same labels: nothing could be paired."""
    one, two = FeaturesFolder(features), FeaturesFolder(other)
    persons = [
        {(p.movie_id, p.person_id, p.start_s, p.end_s) for p in load_manifest(folder.manifest).persons}
        for folder in (one, two)
    ]
    texts = [
        [
            path.read_bytes() if path.is_file() else b""
            for path in (folder.labels, folder.actions, folder.folds)
        ]
        for folder in (one, two)
    ]
    if persons[0] != persons[1] or texts[0] != texts[1]:
        what = "persons" if persons[0] != persons[1] else "labels, actions or folds"
        expected = f"features of the same persons with the same labels as {features}"
        raise InputError(Problem(other, expected, column="--also", value=f"other {what}"))


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


def _check_sources(systems: Sequence[System], configs: Mapping[str, TrainConfig]) -> None:
    """Raises InputError for systems that would need other weights than those of the system that they are from."""
    problems = []
    for system in systems:
        if system.source is None:
            continue
        expected = f"as system {system.source} has it, whose weights it shapes"
        own, source = configs[system.name].to_dict(), configs[system.source].to_dict()
        problems += refused_changes(Path(f"system {system.name}"), source, own, expected, READING)
    if problems:
        raise InputError(problems)


def _config(system: System, base: TrainConfig) -> TrainConfig:
    """A system's own, with nothing of the model left to defaults."""
    values = for_model(base, system.model).to_dict()
    return with_model_settings(
        with_overrides(config_from_dict(values), system.overrides), f"system {system.name}"
    )
