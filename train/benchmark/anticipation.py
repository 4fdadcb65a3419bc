"""What a benchmark measured of anticipation: anticipation.csv and anticipation.md.

In: trials whose runs have an anticipation.json (`rhas.train.evaluation.anticipation`). Out: every number with its
system, seed and fold, and for each protocol a table of means ± standard deviations over runs, beside the baselines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.train.benchmark.plan import System, Trial
from rhas.train.benchmark.results import BASELINE
from rhas.train.benchmark.tables import cell, markdown_rows
from rhas.train.evaluation.anticipation import PROTOCOLS, RATIO
from rhas.train.metrics.anticipation import AHEAD, OBSERVED
from rhas.train.models.registry import anticipates
from rhas.train.runs.run import read_json

COLUMNS = ("system", "model", "seed", "fold", "protocol", "observed", "ahead", "accuracy")


def check_systems(systems: Sequence[System]) -> None:
    """Raises InputError for systems that don't anticipate."""
    expected = "a model that anticipates, such as actfusion or futr"
    if problems := [
        Problem("--task anticipation", expected, column=system.name, value=system.model)
        for system in systems
        if not anticipates(system.model)
    ]:
        raise InputError(problems)


def gather_anticipation(reached: Sequence[Trial]) -> pd.DataFrame:
    """A row for each number that was measured. Baselines count once for a seed and fold, and belong to no protocol."""
    found, once = [], {}
    for trial in reached:
        if not trial.folder.anticipation.is_file():
            continue
        for name, shares in read_json(trial.folder.anticipation)["mean over classes"].items():
            own = name in PROTOCOLS
            for observed, row in shares.items():
                for ahead, accuracy in row.items():
                    at = (trial.seed, trial.fold or 0)
                    who = (trial.system.name, trial.system.model) if own else (name, BASELINE)
                    values = (*who, *at, name if own else "", float(observed), float(ahead), accuracy)
                    if own:
                        found.append(values)
                    else:  # all systems of a seed stand beside the same ones
                        once[name, at, observed, ahead] = values
    return pd.DataFrame([*found, *once.values()], columns=COLUMNS).astype({"accuracy": float})


def write_anticipation(out: Path, reached: Sequence[Trial]) -> None:
    """Writes both."""
    measured = gather_anticipation(reached)
    write_text_atomically(out / "anticipation.csv", measured.to_csv(index=False))
    write_text_atomically(out / "anticipation.md", "\n".join(_markdown(measured)))


def _markdown(measured: pd.DataFrame) -> Iterator[str]:
    yield "# Anticipation\n"
    yield (
        "Test split: mean over classes of the accuracy on the frames [αT, (α+β)T) of a video of which [0, αT) was "
        "seen, percent, mean ± standard deviation over runs. At true length a model is told how long the video is, as "
        f"in the tables of papers; at honest length it predicts {RATIO} times what it has seen. Baselines see no "
        "feature; what was seen last they take from the truth.\n"
    )
    for protocol in PROTOCOLS:
        yield f"## {protocol.capitalize()}\n"
        own = measured[measured["protocol"].isin([protocol, ""])]
        titles = [f"α {observed:g}, β {ahead:g}" for observed in OBSERVED for ahead in AHEAD]
        table = [["system", "runs", *titles]]
        for system, part in own.groupby("system", sort=False):
            numbers = [
                part[(part["observed"] == observed) & (part["ahead"] == ahead)]["accuracy"]
                for observed in OBSERVED
                for ahead in AHEAD
            ]
            runs = len(part[["seed", "fold"]].drop_duplicates())
            table.append([str(system), str(runs), *(cell(of.mean(), of.std(), 1) for of in numbers)])
        yield from markdown_rows(table)
        yield ""
