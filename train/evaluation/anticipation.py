"""Anticipation measured on a split: anticipation.json and anticipation.md in the run's folder, by two protocols.

- `true length`: the model is told how long the video is, as in older tables, which says where its actions end.
- `honest length`: it predicts `RATIO` times as many frames as it has seen, whatever follows.

Two baselines see no feature: the training split's most frequent class, and the last label set that was seen going on
(which reads that set from the truth).

Shapes: T frames of a video, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.manifest import SPLITS
from rhas.train.data import class_counts, collate
from rhas.train.metrics import Video
from rhas.train.metrics.anticipation import AHEAD, OBSERVED, Anticipation, horizon
from rhas.train.metrics.report import or_null
from rhas.train.runs.run import load_run_data, open_run
from rhas.train.scoring.anticipation import anticipator, look_ahead

Floats = NDArray[np.float32]
RATIO = 4  # frames that are predicted for each that was seen: r of ActFusion, Section 5.5
PROTOCOLS = ("true length", "honest length")


def evaluate_anticipation(
    run: Path, split: str = "test", features: Path | None = None, device: str | None = None
) -> dict[str, Any]:
    """Measures a run's model on the videos of a split (windows of `data.window` frames); writes and returns it all.

    Raises InputError for a model that doesn't anticipate.
    """
    if split not in SPLITS:
        raise InputError(Problem("--split", f"one of {', '.join(SPLITS)}", value=split))
    opened = open_run(run, device)
    model = anticipator(opened)
    dataset = load_run_data(opened, features)
    samples, classes = dataset.splits[split].disjoint(opened.config.data.window), len(dataset.vocabulary)
    most_frequent = int(class_counts(dataset.splits["train"].labels()).argmax())
    tables: dict[str, dict[str, dict[str, float | None]]] = {}
    for observed in OBSERVED:
        systems = (*PROTOCOLS, "constant", "last seen goes on")
        counts = {system: Anticipation(classes, observed) for system in systems}
        for index, window in enumerate(samples.windows):
            labels_TC, valid_T = window.labels(dataset.vocabulary)
            seen = horizon(len(valid_T), observed, 0).start
            if seen == 0:
                continue  # too short to see anything of
            batch = collate([samples[index]])
            for protocol in PROTOCOLS:
                total = len(valid_T) if protocol == "true length" else seen * (1 + RATIO)
                scores_UC = look_ahead(model, batch, seen, total, opened.config)
                counts[protocol].add(
                    Video(_of_length(scores_UC, len(valid_T)), labels_TC, valid_T, window.name)
                )
            constant_TC = np.zeros(labels_TC.shape, np.float32)
            constant_TC[:, most_frequent] = 1
            counts["constant"].add(Video(constant_TC, labels_TC, valid_T, window.name))
            lasting_TC = np.repeat(labels_TC[seen - 1 : seen], len(valid_T), axis=0).astype(np.float32)
            counts["last seen goes on"].add(Video(lasting_TC, labels_TC, valid_T, window.name))
        for system, found in counts.items():
            row = {f"{ahead:g}": or_null(value) for ahead, value in found.percent().items()}
            tables.setdefault(system, {})[f"{observed:g}"] = row
    result = {"split": split, "unit": "percent", "videos": len(samples.windows), "mean over classes": tables}
    write_text_atomically(run / "anticipation.json", json.dumps(result, indent=1))
    write_text_atomically(run / "anticipation.md", "\n".join(_markdown(result)))
    return result


def _of_length(scores_UC: Floats, frames: int) -> Floats:
    """Cut to the video, or followed by zeros, which are no prediction."""
    missing = max(0, frames - len(scores_UC))
    return np.pad(scores_UC[:frames], ((0, missing), (0, 0)))


def _markdown(result: dict[str, Any]) -> Iterator[str]:
    yield f"# Anticipation: {result['split']}, {result['videos']} videos\n"
    yield (
        "Mean over classes of the accuracy on the frames [αT, (α+β)T), percent. At true length the model is told how "
        f"long the video is; at honest length it predicts {RATIO} times what it has seen.\n"
    )
    columns = [f"α {observed:g}, β {ahead:g}" for observed in OBSERVED for ahead in AHEAD]
    yield f"| system | {' | '.join(columns)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for system, rows in result["mean over classes"].items():
        cells: Sequence[float | None] = [
            rows[f"{observed:g}"][f"{ahead:g}"] for observed in OBSERVED for ahead in AHEAD
        ]
        yield f"| {system} | {' | '.join('–' if x is None else f'{x:.1f}' for x in cells)} |"
    yield ""
