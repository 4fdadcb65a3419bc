"""The tables and the plot of a benchmark.

In: the data frames of `rhas.train.benchmark.results`. Out: runs.csv, table.csv, differences.csv, table.md, table.tex
and table.png.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from rhas.manifests.common.atomic import write_text_atomically
from rhas.train.benchmark.results import BASELINE, COST, DONE, HEADLINE, METRICS, differences, interval


def write_tables(out: Path, runs: pd.DataFrame, table: pd.DataFrame) -> None:
    """Writes all six."""
    apart = differences(runs)
    write_text_atomically(out / "runs.csv", runs.to_csv(index=False))
    for name, numbers in (("table", table), ("differences", apart)):
        flat = numbers.copy()
        flat.columns = [" ".join(filter(None, column)) for column in numbers.columns]
        write_text_atomically(out / f"{name}.csv", flat.to_csv())
    cells = _cells(table)
    failures = [f"{_named(run)}: {run['status']}" for _, run in runs[runs["status"] != DONE].iterrows()]
    write_text_atomically(out / "table.md", "\n".join(_markdown(cells, failures, runs, apart)))
    write_text_atomically(out / "table.tex", _latex(cells, failures))
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


def _named(run: pd.Series) -> str:
    fold = "" if pd.isna(run["fold"]) else f", fold {run['fold']:.0f}"
    return f"{run['system']}, seed {run['seed']}{fold}"


def _markdown(
    cells: list[list[str]], failures: list[str], runs: pd.DataFrame, apart: pd.DataFrame
) -> Iterator[str]:
    yield "# Benchmark\n"
    yield (
        "Test split, percent, mean ± standard deviation over runs; τ and checkpoints were chosen on the validation "
        "split. Every run with its seed and config is in runs.csv. Seconds are those of training and its "
        "validations, without what an interruption lost; memory is the training process's peak.\n"
    )
    yield from _rows(cells)
    yield from (f"\n{failure}" for failure in failures)
    if len(apart):
        yield f"\n## Apart from {runs['system'].iloc[0]}\n"
        yield (
            "Mean difference over pairs of runs with the same seed and fold ± half of its 95 % interval "
            "(Student's t).\n"
        )
        shown = [title for title in METRICS if title in apart and not title.startswith("top-1")]
        yield from _rows([
            ["system", "pairs", *shown],
            *(
                [
                    str(system), str(int(row[HEADLINE, "pairs"])),
                    *(_apart(row[title, "mean"], row[title, "half"]) for title in shown),
                ]
                for system, row in apart.iterrows()
            ),
        ])  # fmt: skip
    yield ""


def _rows(cells: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(cells[0])} |"
    yield f"|---|{'---:|' * (len(cells[0]) - 1)}"
    for row in cells[1:]:
        yield f"| {' | '.join(row)} |"


def _apart(mean: float, half: float) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:+.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def _latex(cells: list[list[str]], failures: list[str]) -> str:
    table = pd.DataFrame(cells[1:], columns=cells[0])
    text: str = table.to_latex(index=False, escape=True, column_format="l" + "r" * (len(cells[0]) - 1))
    return text.replace("±", r"$\pm$") + "".join(f"% {failure}\n" for failure in failures)


def _plot(png: Path, runs: pd.DataFrame) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = runs[runs["status"] == DONE]
    names = list(dict.fromkeys(runs["system"]))
    figure = Figure(figsize=(7, 1 + 0.4 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        values = measured[measured["system"] == name].get(HEADLINE, pd.Series(dtype=float)).dropna()
        if len(values):
            baseline = (runs[runs["system"] == name]["model"] == BASELINE).all()
            axes.plot(values, [y] * len(values), "o", color="#999999" if baseline else "#5b7db1", alpha=0.5)
            half = interval(values)
            axes.errorbar(
                values.mean(), y, xerr=None if math.isnan(half) else half, fmt="|", color="black", capsize=4
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{HEADLINE}, test split: seeds, mean and its 95 % interval")
    FigureCanvasAgg(figure).print_png(png)
