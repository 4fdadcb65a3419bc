"""A run to hand on: all that using it takes, without checkpoints, logs or the features that it was trained on.

out/
  model.safetensors   the best weights; τ and what they are for in the header
  config.yaml, data.json   as in the run, but for where its features lie
  readout.json        how scores become labels: τ, and the validation that chose it
  actions.csv         the classes, in the order of the scores
  metrics.json, results.md, results.csv   what was measured, if anything was
  README.md           a card: what it was trained on, its numbers beside the baselines, how to load it

In: a run's folder. Out: the folder above, which `open_run` takes like a run's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_bytes_atomically, write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import write_vocabulary
from rhas.train.evaluation.evaluation import read_metrics
from rhas.train.evaluation.results import comparison, tau_text, write_results
from rhas.train.runs.run import Run, RunFolder, open_run


def export_run(run: Path, out: Path) -> None:
    """Writes the folder. Raises InputError for a run without weights, and for a folder that holds a run itself."""
    opened, folder = open_run(run, "cpu"), RunFolder(out)
    if folder.checkpoints.exists() or out.resolve() == run.resolve():
        raise InputError(Problem("--out", "a folder that holds no run", value=str(out)))
    out.mkdir(parents=True, exist_ok=True)
    where = opened.data["features"]
    data = {**opened.data, "features": None if where is None else Path(where).name}
    metrics = {name: _strict(entry) for name, entry in read_metrics(opened.folder).items()}
    write_bytes_atomically(folder.exported, opened.folder.weights.read_bytes())
    write_bytes_atomically(folder.config, opened.folder.config.read_bytes())
    write_text_atomically(folder.data, json.dumps(data, indent=1))
    write_text_atomically(out / "readout.json", json.dumps(_strict(asdict(opened.validation)), indent=1))
    write_vocabulary(opened.vocabulary, out / "actions.csv")
    if metrics:
        write_text_atomically(folder.metrics, json.dumps(metrics, indent=1, ensure_ascii=False))
        write_results(out, metrics)
    write_text_atomically(out / "README.md", "\n".join(_card(opened, metrics, out.resolve().name)))


def _card(run: Run, metrics: dict[str, Any], name: str) -> Iterator[str]:
    data, at = run.data, run.validation
    yield from (
        "---",
        "library_name: rhas",
        "tags:",
        "- action-segmentation",
        "- video",
        f"- {run.config.model}",
    )
    yield from ("---", "", f"# {name}", "")
    yield (
        f"A `{run.config.model}` of rhas that says which of {len(data['actions'])} "
        "actions a referred person does in each frame, from features of the frame and of the person."
    )
    yield "\n## What it was trained on\n"
    if data["features"] is None:
        yield "- Weights that others released, imported; on which data, they say."
    else:
        samples = ", ".join(f"{len(data['samples'][split])} {split}" for split in SPLITS)
        yield f"- Features folder `{Path(data['features']).name}`, split `{run.config.data.split}`: {samples} samples"
        extractors = {part: about.get("name", "?") for part, about in (data["models"] or {}).items()}
        said = ", ".join(f"{part} {model}" for part, model in extractors.items())
        yield f"- Features of size {data['feature_size']}{f' ({said})' if said else ''}"
    for origin in (data.get("init"), data.get("imported")):
        if origin:
            yield f"- Begins with weights of `{Path(origin['given']).name}`, SHA-256 {origin['sha256']}"
    yield f"- Weights of step {at.step} (epoch {at.epoch}), chosen on the validation split; τ: {tau_text(at.tau)}"
    yield "\n## What it reaches\n"
    measured = [split for split in ("test", "val") if split in metrics]
    if not measured:
        yield "It was not measured."
    elif measured[0] == "val":
        yield "On the validation split, by which weights and τ were chosen, so these numbers flatter. Percent.\n"
    else:
        yield "On the test split, which chose nothing. Percent.\n"
    for split in measured[:1]:
        yield from comparison(split, metrics[split])
    yield "\n## How to use it\n"
    yield from (
        "```python", "import rhas", "", f'run = rhas.load_run("{name}")',
        f"scores = run.predict({_taken(run)} to [T, C], C as in run.actions", "```", "",
        f"Or `rhas predict --run {name} --shards features/` for features that `rhas extract` made, and",
        f'`rhas predict --run {name} --movie movie.mp4 --person "the man with the blue hat"`.', "",
    )  # fmt: skip


def _taken(run: Run) -> str:
    """The arguments of `predict`, and what they are."""
    used = run.config.data
    others = [name for name, there in (("boxes", used.boxes.channels), ("sentence", used.sentence)) if there]
    shape = f"[T, {run.data['tokens']}, F]" if "tokens" in run.data else "[T, F]"
    given = ", ".join(["holistic", "partial", *(f"{name}={name}" for name in others)])
    behind = "".join(f", {name} {'[T, 5]' if name == 'boxes' else '[F]'}" for name in others)
    return f"{given})  # arrays {shape}{behind}"


def _strict(values: dict[str, Any]) -> dict[str, Any]:
    """With null for NaN, which JSON of others doesn't know."""
    return {name: None if value != value else value for name, value in values.items()}
