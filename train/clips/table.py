"""Systems beside each other: RefAtomNet, without each of its parts, and the baselines, with several seeds.

out/runs/SYSTEM-seedK are runs; out/table.csv has a row for each, out/table.md their means, the constant below them. A
run that is there and was measured is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.configs import from_mapping, overridden
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.csvfile import write_rows
from rhas.train.clips.config import ClipTrainConfig
from rhas.train.clips.data import ClipData
from rhas.train.clips.fitting import train_clips
from rhas.train.clips.measuring import COLUMNS, CONSTANT, as_record, constant_scores, evaluate_clips, markdown

# The baselines, and what is left out of RefAtomNet in its paper's Table 3a.
SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "location": ("system=location",),
    "crop": ("system=crop",),
    "tokens": ("system=tokens",),
    "refatomnet": (),
    "without-ALSAF": ("model.network.agent_attention=false",),
    "without-CAAF": ("model.network.attention_fusion=false",),
    "without-CATF": ("model.network.token_fusion=false",),
    "without-LSAS": ("model.network.location=false",),
}


def clip_config(overrides: Sequence[str] = ()) -> ClipTrainConfig:
    """The defaults with `section.key=value` applied. Raises InputError for what can't be."""
    return from_mapping(ClipTrainConfig(), overridden(ClipTrainConfig(), overrides), "--set")


def write_table(
    features: Path, data: ClipData, out: Path, systems: Sequence[str], seeds: int, overrides: Sequence[str] = (),
    device: str = "cpu", told: Callable[[str], None] | None = None,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Trains and measures what isn't done yet, on the test split; returns the metrics of each system's runs."""
    if unknown := [name for name in systems if name not in SYSTEMS]:
        raise InputError(Problem("--systems", f"of {', '.join(SYSTEMS)}", value=", ".join(unknown)))
    if seeds < 1:
        raise InputError(Problem("--seeds", "at least 1", value=seeds))
    rows: dict[str, list[dict[str, Any]]] = {}
    lines = []
    for seed in range(seeds):
        for name in systems:
            config = clip_config([*overrides, *SYSTEMS[name], f"seed={seed}"])
            run = out / "runs" / f"{name}-seed{seed}"
            measured = _measured(run, config)
            if measured is None:
                train_clips(features, data, run, config, device)
                measured = evaluate_clips(run, "test", device, data)
                write_text_atomically(run / "table.json", json.dumps([config.to_dict(), measured]))
            own = measured["systems"][config.system]
            rows.setdefault(name, []).append(own)
            lines.append((name, seed, measured["epoch"], *(own[column] for column in COLUMNS)))
            if told:
                told(f"{run.name}: macro mAP {own['mAP']:.1f}, mIoU {own['mIoU']:.1f}")
    shown = {**rows, CONSTANT: [as_record(constant_scores(data, "test"))]}
    write_rows(out / "table.csv", ("system", "seed", "epoch", *COLUMNS), lines)
    text = "\n".join(markdown("test", len(data.splits["test"]), shown))
    write_text_atomically(out / "table.md", text)
    return rows


def _measured(run: Path, config: ClipTrainConfig) -> dict[str, Any] | None:
    """What a run was measured to be worth; None if it isn't done, or is another's."""
    try:
        before, measured = json.loads((run / "table.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if before != json.loads(json.dumps(config.to_dict())):
        raise InputError(
            Problem(run, "the settings that the table began with (another table needs another --out)")
        )
    return dict(measured)
