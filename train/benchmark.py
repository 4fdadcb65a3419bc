"""A benchmark: several systems, each with several seeds, trained under one budget and measured on one split.

bench/
  runs/SYSTEM-seedK/   a run each (see `train.run`), and in it cost.json: parameters, seconds (of its last process,
                       if it was interrupted), peak memory
  runs.csv             a row for each: seed, config, status, every metric
  table.csv, table.md, table.tex   mean ± standard deviation over seeds, beside the baselines
  table.png            macro F1@50: a dot for each seed, the mean with its 95 % interval

In: systems, a base config, seeds. Out: the config of each run, and the tables of those that are done. Training and
what happens when one fails are left to `pipeline.benchmark`. A seed is that of weights, order and noise; the split
stays that of `data.seed`, so that systems and seeds are compared on the same films. With folds, each is a run for
every seed (SYSTEM-seedK-foldN), and means go over folds as well: cross-validation.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from manifests.configs import preset_path, read_yaml
from manifests.errors import InputError, Problem
from train.config import TrainConfig, config_from_dict, with_overrides
from train.evaluation import read_metrics
from train.models.registry import model_config
from train.results import COLUMNS, NAMES
from train.run import RunFolder, read_json

PRESETS = Path(__file__).parent / "presets" / "benchmarks"
TOP1 = {"top-1 MoF": "mof", "top-1 edit": "edit", "top-1 F1@50": "f1@50"}
COST = {"parameters": "parameters", "training s": "seconds", "peak MiB": "peak_mib"}
METRICS = [*COLUMNS, *TOP1]
HEADLINE = "macro F1@50"


@dataclass(frozen=True)
class System:
    """A model with settings of its own: `overrides` as after `--set`."""

    name: str
    model: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A system with a seed."""

    system: System
    seed: int
    folder: Path
    config: TrainConfig

    @property
    def done(self) -> bool:
        """Trained, and measured on the test split."""
        return (self.folder / "cost.json").is_file() and "test" in read_metrics(RunFolder(self.folder))


def systems_of(models: Sequence[str]) -> list[System]:
    """A system for each model, with its settings as they are."""
    return [System(name, name) for name in models]


def load_systems(preset: str) -> list[System]:
    """The systems of a shipped preset, or of a YAML file: names to `{model: …, set: [key=value, …]}`."""
    path = preset_path(preset, PRESETS, "--preset")
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
    systems: Sequence[System], base: TrainConfig, seeds: int, out: Path, folds: Sequence[int] = ()
) -> list[Trial]:
    """Every system with every seed 0 … seeds − 1 and fold, so ordered that an early table has all systems.

    The base's model settings go to each system that knows them, but for the losses of another model. Raises
    InputError for what a system's model can't be.
    """
    if seeds < 1:
        raise InputError(Problem("--seeds", "at least 1", value=seeds))
    if folds:
        base = dataclasses.replace(base, data=dataclasses.replace(base.data, split="fold"))
    configs = {}
    for system in systems:
        if system.name in configs:
            raise InputError(Problem("--models", "each system once", value=system.name))
        known = {field.name for field in dataclasses.fields(model_config(system.model))}
        if system.model != base.model:
            known -= {"losses"}  # their weights belong to a model
        settings = {name: value for name, value in base.settings.items() if name in known}
        if "link" in known:  # which a diffusion has among its own settings
            settings.setdefault("link", base.settings.get("diffusion", {}).get("link", "sigmoid"))
        values = base.to_dict() | {"model": system.model, "settings": settings}
        configs[system.name] = with_overrides(config_from_dict(values), system.overrides)
        model_config(system.model, configs[system.name].settings, f"settings of {system.name}")
    planned = []
    for seed in range(seeds):
        for fold in folds or (None,):
            for system in systems:
                config = dataclasses.replace(configs[system.name], seed=seed)
                name = f"{system.name}-seed{seed}"
                if fold is not None:
                    config = dataclasses.replace(config, data=dataclasses.replace(config.data, fold=fold))
                    name += f"-fold{fold}"
                planned.append(Trial(system, seed, out / "runs" / name, config))
    return planned


def gather(done: Sequence[Trial], statuses: Mapping[Path, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(runs, table): a row for each trial, and mean and standard deviation for each system and baseline."""
    rows, baselines = [], []
    for trial in done:
        row: dict[str, Any] = {
            "system": trial.system.name, "model": trial.system.model, "seed": trial.seed,
            "split": trial.config.data.split, "split seed": trial.config.data.seed,
            "fold": trial.config.data.fold if trial.config.data.split == "fold" else None,
            "config": str(trial.folder / "config.yaml"), "status": statuses.get(trial.folder, "done"),
        }  # fmt: skip
        if trial.done:
            measured = read_metrics(RunFolder(trial.folder))["test"]
            cost = read_json(trial.folder / "cost.json")
            row |= _values(measured["model"]) | {title: cost[key] for title, key in COST.items()}
            baselines += [
                {"system": NAMES.get(name, name), **_values(report)}
                for name, report in measured["baselines"].items()
            ]
        rows.append(row)
    runs = pd.DataFrame(rows)
    columns = [*METRICS, *COST]
    every = pd.concat([runs.reindex(columns=["system", *columns]), pd.DataFrame(baselines)])
    groups = every.groupby("system", sort=False)
    table = groups[columns].agg(["mean", "std"])
    table.insert(0, ("runs", ""), groups[HEADLINE].count())
    return runs, table


def _values(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics of a report of metrics.json by their titles; at the chosen τ."""
    flat = {**report, **report["chosen"]}
    own = {title: flat[key] for title, key in COLUMNS.items()}
    return own | {title: report["top1"][key] for title, key in TOP1.items()}


def write_cost(trial: Path, parameters: int, seconds: float, peak_bytes: int) -> None:
    """Ends a trial."""
    cost = {"parameters": parameters, "seconds": round(seconds, 2), "peak_mib": round(peak_bytes / 2**20, 1)}
    (trial / "cost.json").write_text(json.dumps(cost))
