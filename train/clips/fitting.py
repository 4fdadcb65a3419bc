"""Training on clips into a run's folder, and opening it again.

run/
  config.yaml, data.json   the resolved config; the folder of clips, its models, actions, and what was left out
  model.safetensors        the weights of the best epoch, by macro mAP on the validation split, and which it was
  curves.csv               a row for each epoch
  ravar-SPLIT.json, .md    see `measuring`

The test split is never looked at here. A run that was stopped begins anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.configs import from_mapping, read_yaml
from rhas.manifests.common.errors import InputError, Problem, RhasError
from rhas.manifests.common.interruption import check
from rhas.manifests.common.lock import locked
from rhas.manifests.tables.csvfile import write_rows
from rhas.train.clips.config import ClipTrainConfig
from rhas.train.clips.data import ClipData, ClipSplit, load_clip_data
from rhas.train.clips.systems import System
from rhas.train.data.generators import Generators, generator_for
from rhas.train.metrics.clips import ClipScores, measure
from rhas.train.runs.checkpoint import read_tensors, write_tensors
from rhas.train.runs.run import RunFolder, read_json

EVALUATED = 256  # clips at a time
CURVES = ("epoch", "classes", "box", "val_mAP", "val_weighted_mAP", "val_mIoU")


class ClipTrainingError(RhasError):
    """Training can't go on."""


@dataclass(frozen=True)
class ClipRun:
    """A run with its best weights."""

    folder: RunFolder
    config: ClipTrainConfig
    features: Path
    system: System
    epoch: int


def train_clips(
    features: Path, data: ClipData, out: Path, config: ClipTrainConfig, device: str = "cpu",
    told: Callable[[int, ClipScores], None] | None = None,
) -> ClipScores:  # fmt: skip
    """Trains into the folder `out`; returns the best epoch's scores on the validation split. `told` gets each epoch's.

    Raises InputError for a folder that holds a run of something else.
    """
    folder = RunFolder(out)
    record = _data_record(features, data)
    with locked(folder.lock):
        _begin(folder, config, record)
        system = _fresh(config, data).to(device)
        optimiser = torch.optim.AdamW(system.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        train, steps_each = data.splits["train"], math.ceil(len(data.splits["train"]) / config.batch)
        steps, step, best, rows = steps_each * config.epochs, 0, None, []
        for epoch in range(1, config.epochs + 1):
            order = torch.randperm(len(train), generator=generator_for("cpu", config.seed, "clips", epoch))
            sums: dict[str, float] = {}
            system.train()
            for rows_B in order.split(config.batch):
                check()
                for group in optimiser.param_groups:
                    group["lr"] = config.lr * _rate(step, steps, config.warmup)
                for name, loss in _step(system, optimiser, train, rows_B, config, step, device).items():
                    sums[name] = sums.get(name, 0.0) + loss * len(rows_B) / len(train)
                step += 1
            scores = score_split(system, data.splits["val"], device, "validation split")
            rows.append((epoch, sums["classes"], sums["box"], scores.mAP, scores.weighted_mAP, scores.mIoU))
            write_rows(folder.curves, CURVES, rows)
            if best is None or scores.mAP > best.mAP:
                best = scores
                write_tensors(folder.exported, system.state_dict(), {"epoch": epoch, "val_mAP": scores.mAP})
            if told:
                told(epoch, scores)
    assert best is not None  # there is an epoch
    return best


def _step(
    system: System, optimiser: torch.optim.Optimizer, train: ClipSplit, rows_B: torch.Tensor, config: ClipTrainConfig,
    step: int, device: str,
) -> dict[str, float]:  # fmt: skip
    """Losses, after a step. Raises ClipTrainingError for one that isn't finite, before the weights have seen it."""
    generator = generator_for(device, config.seed, "clips", "step", step)
    losses = system.losses(train.batch(rows_B).to(device), Generators([len(rows_B)], [generator]))
    optimiser.zero_grad(set_to_none=True)
    torch.stack([*losses.values()]).sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(system.parameters(), config.clip_norm)
    found = {name: float(loss.detach()) for name, loss in losses.items()}
    if not all(math.isfinite(value) for value in (*found.values(), float(norm))):
        raise ClipTrainingError(f"step {step + 1}: losses {found}, gradient norm {float(norm)}: not finite")
    optimiser.step()
    return found


def _rate(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate: rises along a line, then falls along a cosine."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising))) / 2


def score_split(system: System, split: ClipSplit, device: str, name: str) -> ClipScores:
    """All metrics of a split."""
    logits, boxes = predict(system, split, device)
    return measure(logits, split.labels, boxes, split.boxes, name)


@torch.no_grad()
def predict(system: System, split: ClipSplit, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, C] and boxes [n, 4] of a split, in its order."""
    system.eval()
    answers = []
    for rows in torch.arange(len(split)).split(EVALUATED):
        check()
        answers.append(system(split.batch(rows).to(device)))
    logits, boxes = (torch.cat(parts).float().cpu().numpy() for parts in zip(*answers, strict=True))
    return logits, boxes


def open_clip_run(root: Path, data: ClipData | None = None, device: str = "cpu") -> tuple[ClipRun, ClipData]:
    """The run in a folder, and its clips (`data`, if they are read already). Raises InputError if it isn't one."""
    folder = RunFolder(root)
    if not folder.config.is_file() or not folder.exported.is_file():
        raise InputError(Problem(root, "the folder of a run, as `rhas ravar train` makes it"))
    config = from_mapping(ClipTrainConfig(), read_yaml(folder.config), folder.config)
    record = read_json(folder.data)
    features = Path(record["features"])
    data = load_clip_data(features) if data is None else data
    now = _data_record(features, data)
    if others := [name for name in now if now[name] != record.get(name) and name != "features"]:
        raise InputError(Problem(features, f"what {root} was trained on; another {', '.join(others)}"))
    system = _fresh(config, data)
    tensors, said = read_tensors(folder.exported)
    own = {name: tuple(x.shape) for name, x in system.state_dict().items()}
    if {name: tuple(x.shape) for name, x in tensors.items()} != own:
        raise InputError(Problem(folder.exported, "the weights of the config's system"))
    system.load_state_dict(tensors)
    return ClipRun(folder, config, features, system.to(device).eval(), int(said["epoch"])), data


def _fresh(config: ClipTrainConfig, data: ClipData) -> System:
    with torch.random.fork_rng(devices=[]):  # modules know no other way to draw their weights
        torch.manual_seed(config.seed)
        return System(config, data)


def _data_record(features: Path, data: ClipData) -> dict[str, Any]:
    """What data.json holds."""
    return {
        "features": str(features.absolute()), "models": data.record["models"], "shape": list(data.shape),
        "actions": list(data.vocabulary.actions), "lost": data.lost,
        "clips": {split: [clip.name for clip in own.clips] for split, own in data.splits.items()},
    }  # fmt: skip


def _begin(folder: RunFolder, config: ClipTrainConfig, record: dict[str, Any]) -> None:
    text = yaml.safe_dump(config.to_dict(), sort_keys=False)
    if folder.config.exists() and folder.config.read_text(encoding="utf-8") != text:
        raise InputError(
            Problem(folder.config, "the settings that the run began with (another run needs another --out)")
        )
    write_text_atomically(folder.data, json.dumps(record, indent=1))
    write_text_atomically(folder.config, text)
