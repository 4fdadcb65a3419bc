"""Tables of results, in Markdown and CSV, from what metrics.json holds.

In: the metrics of one or more splits. Out: results.md and results.csv beside them. A model's row never stands
without the baselines', and the released evaluator's numbers stand apart, labelled for what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.tables.csvfile import write_rows
from rhas.train.evaluation.annotator import SPREAD_S
from rhas.train.runs.run import Validation

# Of a report: the column's title, and where its number is.
COLUMNS = {
    "frame mAP": "frame_mAP",
    "ACC": "acc",
    "subset accuracy": "subset_accuracy",
    "example-based F1": "example_f1",
    "macro F1@10": "f1_macro@10",
    "macro F1@25": "f1_macro@25",
    "macro F1@50": "f1_macro@50",
    "micro F1@10": "f1_micro@10",
    "micro F1@25": "f1_micro@25",
    "micro F1@50": "f1_micro@50",
    "edit": "edit",
}
RELEASED = {"ACC": "acc", "edit": "edit", "F1@10": "f1@10", "F1@25": "f1@25", "F1@50": "f1@50"}
WITHOUT = "background left out"
NAMES = {
    "person_mode": "person mode (knows the truth)",
    "second_annotator": f"second annotator, boundaries ± {SPREAD_S:g} s (knows the truth)",
    "noisy_constant": "constant + 1e-6 noise",
}
OURS, THEIRS = "rhas", "released (compatibility)"


def tau_text(tau: float | None) -> str:
    """What tables and displays call a threshold."""
    return "best class" if tau is None else f"{tau:g}"


def write_results(folder: Path, metrics: dict[str, Any]) -> None:
    """results.md and results.csv for all splits that were measured."""
    rows = [row for split, measured in metrics.items() for row in _rows(split, measured)]
    columns = ["split", "evaluator", "system", "background", "tau", *dict.fromkeys((*COLUMNS, *RELEASED))]
    write_rows(folder / "results.csv", columns, [[row.get(name, "") for name in columns] for row in rows])
    write_text_atomically(folder / "results.md", "\n".join(_markdown(metrics, rows)))


def comparison(split: str, measured: dict[str, Any]) -> Iterator[str]:
    """The lines of a Markdown table: the model beside the baselines."""
    rows = [row for row in _rows(split, measured) if row["evaluator"] == OURS]
    yield from _table(["system", "τ", *COLUMNS], rows)


def _rows(split: str, measured: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, report in _systems(measured):
        # One if τ is .5, or if there is none.
        thresholds = {report[at]["tau"]: report[at] for at in ("chosen", "half") if report[at] is not None}
        for tau, at in thresholds.items():
            values = {title: {**report, **at}[key] for title, key in COLUMNS.items()}
            row = {"split": split, "evaluator": OURS, "system": name, "tau": tau}
            yield {**row, **values}
            if without := at.get(
                "without_background"
            ):  # of segments and edit; a frame's metrics are the same
                values |= {title: without[key] for title, key in COLUMNS.items() if key in without}
                yield {**row, "background": WITHOUT, **values}
    for name in ("model", "noisy_constant"):
        report = measured["released_evaluator"][name]
        values = {title: report[key] for title, key in RELEASED.items()}
        yield {"split": split, "evaluator": THEIRS, "system": name, **values}


def _systems(measured: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("model", measured["model"]), *measured["baselines"].items()]


def _markdown(metrics: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "# Results"
    for split, measured in metrics.items():
        own = [row for row in rows if row["split"] == split]
        at = Validation.from_record(measured["checkpoint"])
        yield f"\n## {split}: {measured['model']['videos']} persons, {measured['model']['frames']} frames\n"
        times = measured["evaluations"]
        chosen = " (on this very split, so these numbers flatter)" if split.split()[0] == "val" else ""
        if "settings" in measured:
            chosen += (
                f", with the run's own settings; here {', '.join(measured['settings'])} took their place"
            )
        yield (
            f"Weights of step {at.step} (epoch {at.epoch}) and the read-out ({at.readout.text()}) were chosen on the "
            f"validation split{chosen}. This split was evaluated {times} time{'s' if times > 1 else ''}. "
            "Percent.\n"
        )
        yield from comparison(split, measured)
        yield from _heads(at)
        yield from _absence(measured.get("with_absence"))
        yield from _dense(measured.get("dense_detection"))
        yield (
            "\n### Compatibility: the evaluator released with HopaDIFF\n\n"
            "Not a measure of segmentation: a constant with noise of 1e-6 scores as below. Only to place the "
            "numbers of that paper; nothing here compares with the table above.\n"
        )
        yield from _table(["system", *RELEASED], [row for row in own if row["evaluator"] == THEIRS])
    yield ""


def _heads(at: Validation) -> Iterator[str]:
    """What each head is worth by itself, and whether what was denoised is worth more than what it was denoised from."""
    if len(at.heads) < 2:
        return
    listed = ", ".join(f"{name} {f1:.1f}" for name, f1 in sorted(at.heads.items(), key=lambda item: -item[1]))
    yield f"\nHeads of the model, each with the smoothing that suits it best, validation macro F1@50: {listed}."
    encoders = {name: f1 for name, f1 in at.heads.items() if name.endswith("encoder") and "+" not in name}
    if encoders and (decoder := at.heads.get("decoder")) is not None:
        name, best = max(encoders.items(), key=lambda item: item[1])
        if decoder <= best:
            yield f"The diffusion adds nothing there: {name}, which is not denoised, is as good as the decoder."


def _absence(measured: dict[str, Any] | None) -> Iterator[str]:
    """The model with absent people counted, who are in none of the numbers above."""
    if measured is None or not measured["absent_frames"]:
        return
    marked, wrongly = measured["marked_absent"], measured["wrongly_marked_absent"] or 0.0
    yield (
        "\n### Absence counted\n\nAbove, frames of people who are away (N/A) count nowhere. Here "
        f"{measured['absent_frames']} of them are frames without any action: predictions say of {marked:.1f} % "
        "that the person isn't there, and of "
        f"{wrongly:.1f} % of those who are. Without that (unmarked), what is predicted of absent people stays.\n"
    )
    rows = [{"system": name, **_values(measured[name])} for name in ("model", "unmarked")]
    yield from _table(["system", *COLUMNS], rows)


def _dense(measured: dict[str, dict[str, float | None]] | None) -> Iterator[str]:
    """What works on dense action detection print of the same scores, where the data set is one of theirs."""
    if measured is None:
        return
    yield (
        "\n### As works on dense action detection compute it\n\nThe model's scores, all frames of each video; see "
        "train/metrics/dense.py for what they mean and whose they are.\n"
    )
    rows = [{"measure": name, **own} for name, own in measured.items()]
    for columns in (("all_classes", "above_zero"), ("precision", "recall", "f1", "mAP")):
        yield from _table(["measure", *columns], [row for row in rows if columns[0] in row])
        yield ""


def _values(report: dict[str, Any]) -> dict[str, Any]:
    """Numbers of a report at the chosen threshold, by column."""
    flat = {**report, **report["chosen"]}
    return {title: flat[key] for title, key in COLUMNS.items()}


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(_cell(name, row) for name in columns)} |"


def _cell(column: str, row: dict[str, Any]) -> str:
    if column == "system":
        name = NAMES.get(row["system"], row["system"])
        return f"{name}, {row['background']}" if "background" in row else name
    if column == "τ":
        return tau_text(row["tau"])
    if column == "measure":
        return str(row["measure"])
    return "–" if row[column] is None else f"{row[column]:.1f}"
