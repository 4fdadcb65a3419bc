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
from rhas.train.benchmark.results import (
    BASELINE,
    COST,
    DONE,
    HEADLINE,
    METRICS,
    READ_OUT,
    VALIDATION,
    Results,
)

INTERVAL = f"{HEADLINE}, 95 %"


def write_tables(out: Path, results: Results) -> None:
    """Writes all six."""
    runs, table, apart = results.runs, results.table, results.apart
    write_text_atomically(out / "runs.csv", runs.to_csv(index=False))
    for name, numbers in (("table", table), ("differences", apart)):
        flat = numbers.copy()
        flat.columns = [" ".join(filter(None, column)) for column in numbers.columns]
        write_text_atomically(out / f"{name}.csv", flat.to_csv())
    cells = _cells(table)
    failures = [f"{_named(run)}: {run['status']}" for _, run in runs[runs["status"] != DONE].iterrows()]
    write_text_atomically(out / "table.md", "\n".join(_markdown(cells, failures, runs, apart)))
    write_text_atomically(out / "table.tex", _latex(cells, failures))
    _plot(out / "table.png", runs, table)


def _cells(table: pd.DataFrame) -> list[list[str]]:
    """A header and a row for each system, as text."""
    titles = [*METRICS, *COST]
    place = titles.index(HEADLINE) + 1
    rows = [["system", "runs", *titles[:place], INTERVAL, *titles[place:]]]
    for system, row in table.iterrows():
        numbers = [
            cell(row[title, "mean"], row[title, "std"], 1 if title in METRICS else 0) for title in titles
        ]
        interval = _interval(row[HEADLINE, "low"], row[HEADLINE, "high"])
        rows.append([str(system), str(int(row["runs", ""])), *numbers[:place], interval, *numbers[place:]])
    return rows


def cell(mean: float, std: float, digits: int) -> str:
    if math.isnan(mean):
        return "–"
    spread = "" if math.isnan(std) or (digits == 0 and std == 0) else f" ± {std:,.{digits}f}"
    return f"{mean:,.{digits}f}{spread}"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "–" if math.isnan(low) else f"{low:{sign}.1f} to {high:{sign}.1f}"


def _named(run: pd.Series) -> str:
    fold = "" if pd.isna(run["fold"]) else f", fold {run['fold']:.0f}"
    return f"{run['system']}, seed {run['seed']}{fold}"


def _markdown(
    cells: list[list[str]], failures: list[str], runs: pd.DataFrame, apart: pd.DataFrame
) -> Iterator[str]:
    yield "# Benchmark\n"
    yield (
        "Test split, percent, mean ± standard deviation over runs; τ and checkpoints were chosen on the validation "
        "split. Every run with its seed and config is in runs.csv. 95 %: percentiles over bootstrap samples of test "
        "movies, with all persons in them, and of seeds; – where there is one movie, or where segments by person were "
        "not kept. Seconds are those of training and its validations, without what an interruption lost, also where "
        "another system's weights are read; memory is the training process's peak.\n"
    )
    yield from markdown_rows(cells)
    yield from (f"\n{failure}" for failure in failures)
    if len(apart):
        yield f"\n## Apart from {runs['system'].iloc[0]}\n"
        yield (
            "Mean difference over pairs of runs with the same seed and fold. "
            f"{INTERVAL}: as above, of the differences on the same movies and seeds. Others: ± half of the 95 % "
            "interval over these pairs (Student's t).\n"
        )
        shown = [title for title in METRICS if title in apart and not title.startswith("top-1")]
        header = [part for title in shown for part in ([title, INTERVAL] if title == HEADLINE else [title])]
        yield from markdown_rows(
            [
                ["system", "pairs", *header],
                *(_apart_row(system, row, shown) for system, row in apart.iterrows()),
            ]
        )
    yield from _read_outs(runs)
    yield ""


def _apart_row(system: object, row: pd.Series, shown: list[str]) -> list[str]:
    cells = [str(system), str(int(row[HEADLINE, "pairs"]))]
    for title in shown:
        if title == HEADLINE:
            cells.append(_apart(row[title, "mean"], math.nan))
            cells.append(_interval(row[title, "low"], row[title, "high"], "+"))
        else:
            cells.append(_apart(row[title, "mean"], row[title, "half"]))
    return cells


def _read_outs(runs: pd.DataFrame) -> Iterator[str]:
    """What was read of each system, and what each head would have been worth, on the validation split."""
    if READ_OUT not in runs:
        return
    measured = runs[runs[READ_OUT].notna()]
    prefix = f"{VALIDATION} of "
    heads = [str(column) for column in measured if str(column).startswith(prefix)]
    yield "\n## Read-outs\n"
    yield (
        f"Chosen on the validation split, whose {HEADLINE} follows: as it is read, and of each head with the smoothing "
        "that suits it best, where heads were left to choose from. Mean ± standard deviation over runs.\n"
    )
    rows = [["system", READ_OUT, "as read", *(column.removeprefix(prefix) for column in heads)]]
    for system, own in measured.groupby("system", sort=False):
        counts = own[READ_OUT].value_counts(sort=False)
        texts = [
            text if len(counts) == 1 else f"{text} ({times}×)"
            for text, times in zip(map(str, counts.index), counts, strict=True)
        ]
        numbers = own[[VALIDATION, *heads]].astype(float)
        cells = (cell(numbers[c].mean(), numbers[c].std(), 1) for c in numbers)
        rows.append([str(system), "<br>".join(texts), *cells])
    yield from markdown_rows(rows)


def markdown_rows(cells: list[list[str]]) -> Iterator[str]:
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


def _plot(png: Path, runs: pd.DataFrame, table: pd.DataFrame) -> None:
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
            axes.plot(values.mean(), y, "D", color="black", markersize=4)
            axes.plot(table.loc[name, HEADLINE][["low", "high"]], [y, y], "|-", color="black")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{HEADLINE}, test split: runs, mean and its 95 % interval")
    FigureCanvasAgg(figure).print_png(png)
