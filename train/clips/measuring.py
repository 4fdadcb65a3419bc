"""A run of clips measured on a split: ravar-SPLIT.json and ravar-SPLIT.md in its folder, the constant beside it.

The constant knows how frequent classes are in the training split, and the mean of its boxes; it looks at nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.manifest import SPLITS
from rhas.train.clips.data import ClipData
from rhas.train.clips.fitting import open_clip_run, score_split
from rhas.train.metrics.clips import ClipScores, constant, measure
from rhas.train.metrics.report import or_null

# Macro first: weighted ones are decided by the few most frequent classes.
COLUMNS = {
    "mAP": "mAP (macro)", "mAP_right_box": "mAP@IoU≥.5 (macro)", "auroc": "AUROC (macro)", "mIoU": "mIoU",
    "weighted_mAP": "mAP (weighted)", "weighted_auroc": "AUROC (weighted)",
}  # fmt: skip
CONSTANT = "constant"


def evaluate_clips(
    run: Path, split: str = "test", device: str = "cpu", data: ClipData | None = None
) -> dict[str, Any]:
    """Measures a run, writes both files and returns what the first one holds."""
    if split not in SPLITS:
        raise InputError(Problem("--split", f"one of {', '.join(SPLITS)}", value=split))
    opened, data = open_clip_run(run, data, device)
    own = data.splits[split]
    if not len(own):
        raise InputError(Problem(opened.features, f"at least one clip in split {split}"))
    scores = {
        opened.config.system: score_split(opened.system, own, device, f"{split} split"),
        CONSTANT: constant_scores(data, split),
    }
    result = {
        "split": split, "clips": len(own), "unit": "percent", "epoch": opened.epoch, "lost_clips": data.lost,
        "classes_with_a_clip": int(own.labels.any(0).sum()),
        "systems": {name: as_record(one) for name, one in scores.items()},
        "per_class": dict(
            zip(data.vocabulary.actions, map(or_null, scores[opened.config.system].per_class), strict=True)
        ),
    }  # fmt: skip
    write_text_atomically(run / f"ravar-{split}.json", json.dumps(result, indent=1))
    rows = {name: [as_record(one)] for name, one in scores.items()}
    write_text_atomically(run / f"ravar-{split}.md", "\n".join(markdown(split, len(own), rows)))
    return result


def constant_scores(data: ClipData, split: str) -> ClipScores:
    """What knowing nothing but the training split's frequencies is worth."""
    train, own = data.splits["train"], data.splits[split]
    scores, boxes = constant(train.labels, train.boxes, len(own))
    return measure(scores, own.labels, boxes, own.boxes, CONSTANT)


def as_record(scores: ClipScores) -> dict[str, float | None]:
    """The metrics of `COLUMNS`."""
    values = asdict(scores)
    return {name: None if values[name] is None else or_null(values[name]) for name in COLUMNS}


def markdown(
    split: str, clips: int, rows: Mapping[str, Sequence[Mapping[str, float | None]]]
) -> Iterator[str]:
    """A table with a row for each system: the mean over its runs, and their spread if there are several."""
    yield f"## {split}: {clips} clips"
    yield ""
    yield f"| percent | {' | '.join(COLUMNS.values())} |"
    yield f"|---|{'---:|' * len(COLUMNS)}"
    for name, runs in rows.items():
        cells = [_cell([run[column] for run in runs]) for column in COLUMNS]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield (
        "Macro: the mean over classes of which there is a clip. Weighted, by their clips, as the paper of the task has "
        "it: compare it with the constant, which looks at nothing."
    )
    yield ""


def _cell(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    if not there:
        return "–"
    mean = sum(there) / len(there)
    if len(there) == 1:
        return f"{mean:.1f}"
    spread = (sum((value - mean) ** 2 for value in there) / (len(there) - 1)) ** 0.5
    return f"{mean:.1f} ± {spread:.1f}"
