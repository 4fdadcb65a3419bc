"""Callbacks of others, found by entry points in the group `rhas.callbacks`; docs/callbacks.md has examples.

In: their names. Out: what the loop tells how training goes. An entry point is a class, or a function, that takes
the run's folder and its config and gives a `Callback`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.config import TrainConfig
from rhas.train.fitting.loop import Callback

GROUP = "rhas.callbacks"


def named_callbacks(names: Sequence[str], folder: Path, config: TrainConfig) -> list[Callback]:
    """The callbacks of those names. Raises InputError for one that isn't installed, or can't be made."""
    there = {entry.name: entry for entry in entry_points(group=GROUP)}
    if unknown := [name for name in names if name not in there]:
        expected = f"one of {', '.join(sorted(there)) or 'none: no installed package has any'}"
        raise InputError(
            [Problem("training config", expected, column="callbacks", value=name) for name in unknown]
        )
    made = []
    for name in names:
        try:
            make: Callable[[Path, TrainConfig], Callback] = there[name].load()
            callback = make(folder, config)
        except Exception as error:
            expected = f"a callback that can be made ({type(error).__name__}: {error})"
            problem = Problem(f"entry point {GROUP}", expected, column=name, value=there[name].value)
            raise InputError(problem) from error
        if not isinstance(callback, Callback):
            expected = "what gives a rhas.train.fitting.loop.Callback"
            raise InputError(Problem(f"entry point {GROUP}", expected, column=name, value=there[name].value))
        made.append(callback)
    return made
