"""Evaluation of a run on one of its splits: metrics.json, tables of results, segments by person, a few timelines.

In: the folder of a run, whose weights and τ were chosen on the validation split. Out: all metrics of the split,
one video per person, beside the baselines; how often a split was evaluated is counted in metrics.json, since
the test split is meant to be read once. The released evaluator sees windows, as in its paper. With other settings than
the run's own, such as fewer sampling steps, numbers have an entry of their own, "test with NAME=VALUE", and no
persons-SPLIT.csv or timelines: those of the run stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.imports.multilabel import CLASSES
from rhas.manifests.tables.manifest import SPLITS
from rhas.train.data import class_counts
from rhas.train.data.generators import generator_for
from rhas.train.evaluation.absence import absence
from rhas.train.evaluation.annotator import second_annotator
from rhas.train.evaluation.persons import persons_csv, write_persons
from rhas.train.evaluation.results import write_results
from rhas.train.metrics import compare, released_report
from rhas.train.metrics.dense import dense_scores
from rhas.train.runs.run import Run, RunFolder, load_run_data, open_run, read_json
from rhas.train.scoring.inference import Series, read_persons
from rhas.train.scoring.timeline import draw_timeline

TIMELINES = 4


def evaluate_run(
    run: Path, split: str = "test", features: Path | None = None, device: str | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Evaluates a run's best weights on a split, and writes it all into the run's folder; returns the metrics.

    `features`: where the run's data lies now, if it was moved. `overrides`: see `open_run`. Raises InputError if it
    isn't the run's data.
    """
    if split not in SPLITS:
        raise InputError(Problem("--split", f"one of {', '.join(SPLITS)}", value=split))
    opened = open_run(run, device, overrides)
    dataset = load_run_data(opened, features)
    vocabulary, tau, seed = dataset.vocabulary, opened.validation.tau, opened.config.seed
    counts_C = class_counts(dataset.splits["train"].labels())
    persons = list(read_persons(opened, dataset.splits[split]))
    videos = [series.video(vocabulary) for series in persons]
    again = [
        second_annotator(series, vocabulary, generator_for("cpu", seed, "annotator", series.name))
        for series in persons
    ]
    prior = generator_for("cpu", seed, "prior", split)
    comparison = compare(
        videos, tau, counts_C, prior, {"second_annotator": again}, vocabulary.background_indices
    )
    released = released_report(
        (part.video(vocabulary) for series in persons for part in series.windows(opened.config.data.window)),
        int(counts_C.argmax()),
        generator_for("cpu", seed, "noise", split),
    )
    metrics = read_metrics(opened.folder)
    entry = entry_of(split, opened)
    metrics[entry] = {
        "evaluations": metrics.get(entry, {}).get("evaluations", 0) + 1,
        **({"settings": list(opened.changed)} if opened.changed else {}),
        "checkpoint": asdict(opened.validation),
        **comparison.to_dict(vocabulary.actions),
        "with_absence": absence(persons, vocabulary, tau),
        "released_evaluator": released.to_dict(),
        **({"dense_detection": dense_scores(videos).to_dict()} if _is_dense(opened) else {}),
    }
    if not opened.changed:  # before the metrics: who finds these finds the persons
        write_persons(persons_csv(opened.folder.root, split), persons, vocabulary, tau)
    write_text_atomically(opened.folder.metrics, json.dumps(metrics, indent=1, ensure_ascii=False))
    write_results(opened.folder.root, metrics)
    if not opened.changed:
        _draw(opened, split, persons)
    return metrics[entry]


def _is_dense(run: Run) -> bool:
    """Whether the run's features are of a data set whose works have metrics of their own."""
    extraction = run.data["extraction"] or {}
    return extraction.get("import", {}).get("layout") in CLASSES


def entry_of(split: str, run: Run) -> str:
    """What metrics.json calls a split that was measured, maybe with other settings than the run's own."""
    return f"{split} with {', '.join(run.changed)}" if run.changed else split


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """What was measured so far, by split."""
    return read_json(folder.metrics) if folder.metrics.is_file() else {}


def _draw(run: Run, split: str, persons: list[Series]) -> None:
    """Timelines of a few persons, at even distances in the split."""
    chosen = np.unique(np.linspace(0, len(persons) - 1, min(TIMELINES, len(persons))).round().astype(int))
    for series in (persons[i] for i in chosen):
        png = run.folder.timelines / split / f"{series.name}.png"
        truth = series.truth(run.vocabulary)
        draw_timeline(png, series, run.validation.tau, run.vocabulary.actions, truth)
