"""What several commands have: options, and how they are interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import EXIT_INTERRUPTED, interruptible

ActionsOption = Annotated[
    Path | None,
    typer.Option("--actions", help="Your own actions, a CSV with a column action [default: RHAS133's]"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; may be repeated")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 … [default: a GPU if there is one]")
]


@contextmanager
def interruptible_work(kept: str) -> Iterator[None]:
    """What a command does for long. When it is asked to end, it says what is kept, and the exit code is 130."""
    with interruptible():
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"interrupted; {kept}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def of_fold(option: str, given: object, split: str | None, settings: list[str]) -> list[str]:
    """Overrides that a fold implies, if one is given: split fold. Raises InputError beside another split."""
    if given in (None, ""):
        return []
    splits = [("--split", split)] if split is not None else []
    splits += [
        ("--set data.split", s.partition("=")[2].strip()) for s in settings if s.startswith("data.split=")
    ]
    if others := [f"{name} {value}" for name, value in splits if value != "fold"]:
        expected = f"no {option} beside {' and '.join(others)}: folds are those of split fold"
        raise InputError(Problem(option, expected, value=given))
    return ["data.split=fold"]
