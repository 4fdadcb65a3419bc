"""What a benchmark measured, as data frames: a row for each run, and means over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from rhas.train.benchmark.plan import Trial
from rhas.train.evaluation.evaluation import read_metrics
from rhas.train.evaluation.results import COLUMNS, NAMES, tau_text
from rhas.train.runs.run import read_json

TOP1 = {
    "top-1 MoF": "mof", "top-1 edit": "edit",
    "top-1 F1@10": "f1@10", "top-1 F1@25": "f1@25", "top-1 F1@50": "f1@50",
}  # fmt: skip
COST = {"parameters": "parameters", "training s": "seconds", "peak MiB": "peak_mib"}
METRICS = [*COLUMNS, *TOP1]
HEADLINE = "macro F1@50"
DONE, BASELINE = "done", "baseline"


def gather(reached: Sequence[Trial], failed: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(runs, table): a row for each trial, then for the baselines of each seed and fold; and mean and standard
    deviation for each system and baseline. `failed`: why, by the run's name.
    """
    rows, baselines = [], []
    for trial in reached:
        at = {
            "seed": trial.seed, "split": trial.config.data.split, "split seed": trial.config.data.seed,
            "fold": trial.config.data.fold if trial.config.data.split == "fold" else None,
        }  # fmt: skip
        row: dict[str, Any] = {"system": trial.system.name, "model": trial.system.model, **at}
        row |= {"config": str(trial.folder.config), "status": failed.get(trial.name, DONE)}
        if trial.done:
            measured, cost = (
                read_metrics(trial.folder)["test"],
                read_json(trial.folder.cost),
            )
            chosen = measured["checkpoint"]
            row |= {
                "τ": tau_text(chosen["readout"]["tau"]),
                "epoch": chosen["epoch"],
                "device": cost["device"],
            }
            row |= _values(measured["model"]) | {title: cost[key] for title, key in COST.items()}
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
    return runs, table


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """How far the other systems are from the first: for each and each metric, mean, half and pairs.

    Runs are compared with those of the same seed and fold, which saw the same movies in the same order; `half` is half
    of the 95 % interval of the mean difference (Student's t), NaN with less than two pairs. Empty with one system.
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
        apart = (pairs.loc[name] - pairs.loc[measured["system"].iloc[0]]).dropna(how="all")
        rows[name] = {
            (title, kind): value
            for title in columns
            for kind, value in (
                ("mean", apart[title].mean()), ("half", interval(apart[title])), ("pairs", apart[title].count()),
            )
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("system")


def interval(values: pd.Series) -> float:
    """Half the width of the mean's 95 % interval (Student's t); NaN for less than two values."""
    if len(values) < 2:
        return math.nan
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values)))


def _values(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics of a report of metrics.json by their titles; at the chosen τ."""
    flat = {**report, **report["chosen"]}
    own = {title: flat[key] for title, key in COLUMNS.items()}
    return own | {title: report["top1"][key] for title, key in TOP1.items()}
