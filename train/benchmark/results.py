"""What a benchmark measured, as data frames: a row for each run, means over them, and how far systems are apart.

Intervals of macro F1@50, the metric to compare by, are bootstrapped over movies and seeds; Student's t over a few
seeds says nothing of what other movies would have given. Other metrics don't add up over persons, and their
differences keep it; no number has two intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from rhas.train.benchmark.bootstrap import At, Bootstrap
from rhas.train.benchmark.plan import Trial
from rhas.train.evaluation.evaluation import read_metrics
from rhas.train.evaluation.persons import persons_csv, read_person_counts
from rhas.train.evaluation.results import COLUMNS, NAMES, tau_text
from rhas.train.runs.run import Validation, read_json

TOP1 = {
    "top-1 MoF": "mof", "top-1 edit": "edit",
    "top-1 F1@10": "f1@10", "top-1 F1@25": "f1@25", "top-1 F1@50": "f1@50",
}  # fmt: skip
COST = {"parameters": "parameters", "training s": "seconds", "peak MiB": "peak_mib"}
HEADLINE = "macro F1@50"
ABSENCE = f"{HEADLINE}, absence counted"
METRICS = [*COLUMNS, ABSENCE, *TOP1]
DONE, BASELINE = "done", "baseline"
READ_OUT = "read-out"
VALIDATION = f"validation {HEADLINE}"
"""As a run is read; followed by "of HEAD", of a head that it could have been read by."""


@dataclass(frozen=True, eq=False)
class Results:
    """`runs`: a row for each trial, then for the baselines of each seed and fold. `table`: mean and standard deviation
    for each system and baseline, and low and high of macro F1@50. `apart`: see `differences`.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    apart: pd.DataFrame


def gather(reached: Sequence[Trial], failed: Mapping[str, str]) -> Results:
    """What was measured so far. `failed`: why, by the run's name."""
    rows, baselines = [], []
    persons: dict[str, dict[At, pd.DataFrame]] = {}
    for trial in reached:
        at = {
            "seed": trial.seed, "split": trial.config.data.split, "split seed": trial.config.data.seed,
            "fold": trial.fold,
        }  # fmt: skip
        row: dict[str, Any] = {"system": trial.system.name, "model": trial.system.model, **at}
        row["weights of"] = trial.source
        row |= {"config": str(trial.folder.config), "status": failed.get(trial.name, DONE)}
        if trial.done:
            measured, cost = (
                read_metrics(trial.folder)["test"],
                read_json(trial.folder.cost),
            )
            chosen = Validation.from_record(measured["checkpoint"])
            row |= {
                READ_OUT: chosen.readout.text(),
                "τ": tau_text(chosen.tau),
                "epoch": chosen.epoch,
                "device": cost["device"],
                VALIDATION: chosen.f1_macro_50,
                **{f"{VALIDATION} of {head}": f1 for head, f1 in chosen.heads.items()},
            }
            stored = persons_csv(trial.folder.root, "test")
            if stored.is_file():  # not of runs that were measured before it was written
                own = persons.setdefault(trial.system.name, {})
                own[At(trial.seed, trial.fold or 0)] = read_person_counts(stored)
            row |= (
                _values(measured["model"])
                | _with_absence(measured)
                | {title: cost[key] for title, key in COST.items()}
            )
            for name, report in measured["baselines"].items():
                named = {"system": NAMES.get(name, name), "model": BASELINE, **at, "status": DONE}
                baselines.append(named | _values(report))
        rows.append(row)
    # All systems of a seed stand beside the same baselines: they count once.
    once = {tuple(baseline.items()): baseline for baseline in baselines}
    runs = pd.DataFrame([*rows, *once.values()])
    columns = [*METRICS, *COST]
    numbers = runs.reindex(columns=["system", *columns]).astype(dict.fromkeys(columns, float))
    groups = numbers.groupby("system", sort=False)
    table = groups[columns].agg(["mean", "std"])
    table.insert(0, ("runs", ""), groups[HEADLINE].count())
    bootstrap = Bootstrap(persons)
    place = [*table.columns].index((HEADLINE, "std")) + 1
    for number, kind in enumerate(("low", "high")):
        ends = [bootstrap.interval(name)[number] for name in table.index]
        table.insert(place + number, (HEADLINE, kind), ends)
    return Results(runs, table, differences(runs, bootstrap))


def differences(runs: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """How far the other systems are from the first: for each and each metric, mean and pairs, and low and high or half.

    Runs are compared with those of the same seed and fold, which saw the same movies in the same order. `low` and
    `high` of macro F1@50 are bootstrapped; `half`, of the others, is half of the 95 % interval of the mean difference
    (Student's t), NaN with less than two pairs. Empty with one system.
    """
    measured = runs[(runs["status"] == DONE) & (runs["model"] != BASELINE)]
    columns = [title for title in METRICS if title in measured]
    pairs = (
        measured.assign(fold=measured["fold"].fillna(0))
        .set_index(["system", "seed", "fold"])[columns]
        .astype(float)
    )
    rows = {}
    for name in list(dict.fromkeys(measured["system"]))[1:]:
        first = measured["system"].iloc[0]
        apart = (pairs.loc[name] - pairs.loc[first]).dropna(how="all")
        row = {}
        for title in columns:
            row[title, "mean"] = apart[title].mean()
            if title == HEADLINE:
                row[title, "low"], row[title, "high"] = bootstrap.apart(name, first)
            else:
                row[title, "half"] = interval(apart[title])
            row[title, "pairs"] = apart[title].count()
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("system")


def interval(values: pd.Series) -> float:
    """Half the width of the mean's 95 % interval (Student's t); NaN for less than two values."""
    if len(values) < 2:
        return math.nan
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values)))


def _with_absence(measured: Mapping[str, Any]) -> dict[str, float]:
    """As `rhas.train.evaluation.absence` has it: nothing where everybody is always there, or nobody was looked for."""
    counted = measured.get("with_absence")
    return {ABSENCE: math.nan if counted is None else counted["model"]["chosen"][COLUMNS[HEADLINE]]}


def _values(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics of a report of metrics.json by their titles; at the chosen τ."""
    flat = {**report, **report["chosen"]}
    own = {title: flat[key] for title, key in COLUMNS.items()}
    return own | {title: report["top1"][key] for title, key in TOP1.items()}
