"""Callbacks of others, found by entry points in the group `rhas.callbacks`; docs/callbacks.md has examples.

In: their names. Out: what the loop tells how training goes. An entry point is a class, or a function, that takes
the run's folder and its config and gives a `Callback`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.plugins import make, plugins
from rhas.train.config import TrainConfig
from rhas.train.fitting.loop import Callback

GROUP = "rhas.callbacks"


def named_callbacks(names: Sequence[str], folder: Path, config: TrainConfig) -> list[Callback]:
    """The callbacks of those names. Raises InputError for one that isn't installed, or can't be made."""
    there = plugins(GROUP)
    if unknown := [name for name in names if name not in there]:
        expected = f"one of {', '.join(there) or 'none: no installed package has any'}"
        raise InputError(
            [Problem("training config", expected, column="callbacks", value=name) for name in unknown]
        )
    return [make(GROUP, name, Callback, folder, config) for name in names]
