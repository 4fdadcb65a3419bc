"""Learning curves of a run: curves.csv, a row for each step and each validation, and curves.png, drawn from it.

In: what the loop tells its callbacks. Out: both files in the run's folder. Rows are appended as they come; when a run
is taken up again, those behind its checkpoint go, since they come again: each row is there once.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rhas.manifests.common.atomic import naming, written_atomically
from rhas.train.fitting.loop import Callback, Step
from rhas.train.runs.run import RunFolder, Validation

COLUMNS = ("step", "epoch", "split", "loss", "frame_mAP", "f1_macro_50", "edit", "tau", "lr", "gradient_norm")
TRAIN, VALIDATION = "#9aa7bd", "#d9822b"
METRICS = {"frame_mAP": "frame mAP", "f1_macro_50": "macro F1@50", "edit": "edit"}
_DRAW_EVERY_S = 20.0  # at most, and at the end: short runs needn't wait for matplotlib in their midst
_SHOWN_STEPS = 2000  # in the picture; beyond, it shows means of as many parts

Row = dict[str, str]


class Curves(Callback):
    """Writes each row as it comes, and draws now and then. `loss` is the sum; its parts have their names."""

    def __init__(self, folder: Path):
        self._csv, self._png = RunFolder(folder).curves, folder / "curves.png"
        self._columns: list[str] = []
        self._losses: list[tuple[int, float]] = []  # of training steps; the rows themselves would be a lot
        self._validations: list[Row] = []
        self._drawn = time.monotonic()

    def started(self, step: int, steps: int) -> None:
        rows = [row for row in self._read() if int(row["step"]) <= step]
        self._rewrite(rows)
        self._losses = [(int(row["step"]), float(row["loss"])) for row in rows if row["split"] == "train"]
        self._validations = [row for row in rows if row["split"] == "val"]

    def stepped(self, step: Step) -> None:
        parts = {f"loss/{name}": value for name, value in step.losses.items() if name != "total"}
        total = step.losses["total"]
        self._add({
            "step": step.step, "epoch": step.epoch, "split": "train", "loss": total, "lr": step.lr,
            "gradient_norm": step.gradient_norm, **parts,
        })  # fmt: skip
        self._losses.append((step.step, total))

    def validated(self, validation: Validation, best: bool) -> None:
        measured = {name: getattr(validation, name) for name in ("step", "epoch", "loss", "tau", *METRICS)}
        self._validations.append(self._add({"split": "val", **measured}))
        with naming(self._csv), self._csv.open("rb") as file:
            os.fsync(file.fileno())  # the checkpoint that comes next must not be all that is left
        if time.monotonic() - self._drawn >= _DRAW_EVERY_S:
            self._draw()

    def finished(self) -> None:
        self._draw()

    def _draw(self) -> None:
        draw(self._png, self._losses, self._validations)
        self._drawn = time.monotonic()

    def _add(self, values: Mapping[str, Any]) -> Row:
        row = {name: "" if value is None else str(value) for name, value in values.items()}
        if not row.keys() <= set(self._columns):  # a loss that wasn't there before
            self._rewrite([*self._read(), row])
        else:
            with naming(self._csv), self._csv.open("a", encoding="utf-8") as file:
                file.write(_line(row.get(name, "") for name in self._columns))
        return row

    def _read(self) -> list[Row]:
        """The whole rows that are there: a killed run may have left half a line."""
        text = self._csv.read_text(encoding="utf-8") if self._csv.is_file() else ""
        return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))

    def _rewrite(self, rows: Sequence[Row]) -> None:
        self._columns = list(dict.fromkeys((*COLUMNS, *(name for row in rows for name in row))))
        with written_atomically(self._csv) as file:
            file.write(_line(self._columns).encode())
            file.writelines(_line(row.get(name, "") for name in self._columns).encode() for row in rows)


def draw(png: Path, steps: Sequence[tuple[float, float]], validations: Sequence[Row]) -> None:
    """The losses over the steps, those of training as (step, loss), and the metrics of the validation split."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6))
    FigureCanvasAgg(figure)
    # Not "constrained", which draws all of it twice.
    losses, metrics = figure.subplots(
        1, 2, gridspec_kw={"left": 0.06, "right": 0.98, "bottom": 0.14, "wspace": 0.14}
    )
    size = -(-len(steps) // _SHOWN_STEPS) or 1
    means = [np.mean(steps[i : i + size], axis=0) for i in range(0, len(steps), size)]
    losses.plot(*_columns(means), color=TRAIN, linewidth=0.8, label="training")
    losses.plot(*_columns(_points(validations, "loss")), color=VALIDATION, marker=".", label="validation")
    for name, title in METRICS.items():
        metrics.plot(*_columns(_points(validations, name)), marker=".", label=title)
    for axis, title in ((losses, "loss"), (metrics, "validation, percent")):
        axis.set_xlabel("step")
        axis.set_title(title, loc="left", fontsize=10)
        axis.legend(frameon=False, fontsize=8)
    with written_atomically(png) as file:
        figure.savefig(file, dpi=100, format="png")


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    return [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"
