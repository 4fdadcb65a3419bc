"""The weights that come with the package: `shipped:mini` stands for a folder below `extract/weights/shipped`.

A config names them in this way because a path would differ from machine to machine, and with it the
identity of every window.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rhas.manifests.common.errors import InputError, Problem

FOLDER = Path(__file__).parent / "shipped"
_PREFIX = "shipped:"


def place(weights: str, part: Literal["detector", "encoder", "refiner"]) -> str:
    """The folder that `shipped:NAME` stands for; anything else as it is. InputError if there is no such name."""
    if not weights.startswith(_PREFIX):
        return weights
    folder = FOLDER / weights.removeprefix(_PREFIX) / part
    if not folder.is_dir() or folder.parent.parent != FOLDER:
        names = ", ".join(sorted(f"{_PREFIX}{path.parent.name}" for path in FOLDER.glob(f"*/{part}")))
        setting = "detector.refine" if part == "refiner" else f"{part}.weights"
        expected = names or "no shipped weights"
        raise InputError(Problem("extraction config", expected, column=setting, value=weights))
    return str(folder)
