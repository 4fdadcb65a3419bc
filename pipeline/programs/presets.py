"""The presets of both stages by name: which there are, and whose they are. What they hold is left to the stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rhas.extract.config import PRESETS as EXTRACT_PRESETS
from rhas.manifests.common.configs import preset_names
from rhas.manifests.common.errors import InputError, Problem
from rhas.train import PRESETS as TRAIN_PRESETS

FOLDERS = {"extract": EXTRACT_PRESETS, "train": TRAIN_PRESETS}


def list_presets() -> Iterator[str]:
    """A line for each: stage, name, and the first line of the file, which says what it is."""
    found = [(stage, name) for stage, folder in FOLDERS.items() for name in preset_names(folder)]
    stages, names = (max(map(len, texts)) for texts in zip(*found, strict=True))
    for stage, name in found:
        first, *_ = (FOLDERS[stage] / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        yield f"{stage:{stages}}  {name:{names}}  {first.removeprefix('#').strip()}"


def stage_of(preset: str, stage: str | None) -> str:
    """The stage that a preset or a YAML file is of: `stage`, or what the name alone says. Raises InputError."""
    if stage is not None:
        if stage not in FOLDERS:
            raise InputError(Problem("--stage", f"one of {', '.join(FOLDERS)}", value=stage))
        return stage
    possible = [stage for stage, folder in FOLDERS.items() if preset in preset_names(folder)]
    if not possible and Path(preset).is_file():
        possible = list(FOLDERS)
    if not possible:
        names = (name for folder in FOLDERS.values() for name in preset_names(folder))
        raise InputError(Problem("preset", f"one of {', '.join(names)} or a YAML file", value=preset))
    if len(possible) > 1:
        raise InputError(Problem("--stage", f"{' or '.join(possible)}, since {preset} could be of either"))
    return possible[0]
