"""The tables and the plot of a benchmark, from what `train.benchmark.gather` found.

In: data frames. Out: runs.csv, table.csv, table.md, table.tex and table.png in the benchmark's folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from scipy import stats

from manifests.atomic import write_text_atomically
from train.benchmark import COST, HEADLINE, METRICS

_TEX = {"±": r"$\pm$", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#"}


def write_tables(out: Path, runs: pd.DataFrame, table: pd.DataFrame) -> None:
    """Writes all five."""
    flat = table.copy()
    flat.columns = [" ".join(filter(None, column)) for column in table.columns]
    write_text_atomically(out / "runs.csv", runs.to_csv(index=False))
    write_text_atomically(out / "table.csv", flat.to_csv())
    cells = _cells(table)
    write_text_atomically(out / "table.md", "\n".join(_markdown(cells, runs)))
    write_text_atomically(out / "table.tex", "\n".join(_latex(cells)))
    _plot(out / "table.png", runs)


def _cells(table: pd.DataFrame) -> list[list[str]]:
    """A header and a row for each system, as text."""
    rows = [["system", "runs", *METRICS, *COST]]
    for system, row in table.iterrows():
        cells = [str(system), str(int(row["runs", ""]))]
        for title in (*METRICS, *COST):
            digits = 1 if title in METRICS else 0
            cells.append(_cell(row[title, "mean"], row[title, "std"], digits))
        rows.append(cells)
    return rows


def _cell(mean: float, std: float, digits: int) -> str:
    if math.isnan(mean):
        return "–"
    spread = "" if math.isnan(std) or (digits == 0 and std == 0) else f" ± {std:,.{digits}f}"
    return f"{mean:,.{digits}f}{spread}"


def _markdown(cells: list[list[str]], runs: pd.DataFrame) -> Iterator[str]:
    yield "# Benchmark\n"
    yield (
        "Test split, percent, mean ± standard deviation over seeds; τ and checkpoints were chosen on the validation "
        "split. Every run with its seed and config is in runs.csv.\n"
    )
    yield f"| {' | '.join(cells[0])} |"
    yield f"|---|{'---:|' * (len(cells[0]) - 1)}"
    for row in cells[1:]:
        yield f"| {' | '.join(row)} |"
    failed = runs[runs["status"] != "done"]
    for _, run in failed.iterrows():
        yield f"\n{run['system']}, seed {run['seed']}: {run['status']}"
    yield ""


def _latex(cells: list[list[str]]) -> Iterator[str]:
    def escaped(text: str) -> str:
        return "".join(_TEX.get(sign, sign) for sign in text)

    yield rf"\begin{{tabular}}{{l{'r' * (len(cells[0]) - 1)}}}"
    yield r"\hline"
    for number, row in enumerate(cells):
        yield " & ".join(map(escaped, row)) + r" \\" + (r" \hline" if number == 0 else "")
    yield r"\hline"
    yield r"\end{tabular}"
    yield ""


def interval(values: pd.Series) -> float:
    """Half the width of the mean's 95 % interval (Student's t); NaN for less than two values."""
    if len(values) < 2:
        return math.nan
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values)))


def _plot(png: Path, runs: pd.DataFrame) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = runs[runs["status"] == "done"]
    names = list(dict.fromkeys(runs["system"]))
    figure = Figure(figsize=(7, 1 + 0.4 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        values = measured[measured["system"] == name].get(HEADLINE, pd.Series(dtype=float)).dropna()
        if len(values):
            axes.plot(values, [y] * len(values), "o", color="#5b7db1", alpha=0.5)
            half = interval(values)
            axes.errorbar(
                values.mean(), y, xerr=None if math.isnan(half) else half, fmt="|", color="black", capsize=4
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{HEADLINE}, test split: seeds, mean and its 95 % interval")
    FigureCanvasAgg(figure).print_png(png)
