"""What several commands have: options, groups in the help, how they are interrupted, and which comes next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import EXIT_INTERRUPTED, interruptible
from rhas.manifests.common.locations import Place, Remote
from rhas.pipeline.views.telling import quiet

EXTRACT, TRAIN, LOOK, CLUSTER = "Extract", "Train and use", "Look", "Both stages, here or on a cluster"
WITHIN_A_PIPELINE = "RHAS_STAGE"  # in the environment of a stage's command, which isn't the user's own

ActionsOption = Annotated[
    Path | None,
    typer.Option(
        "--actions",
        help="Your own actions, a CSV with a column action",
        show_default="actions.csv beside the data, else RHAS133's",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; may be repeated")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 …", show_default="a GPU if there is one")
]
RunOption = Annotated[Path, typer.Option("--run", help="Run folder")]
MeasuredSplit = Annotated[str, typer.Option("--split", help="val or test")]


class HelpByDefault(TyperGroup):
    """Commands of which none was named: asking what there is, which is no mistake (exit code 0)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))


@contextmanager
def interruptible_work(kept: str) -> Iterator[None]:
    """What a command does for long. When it is asked to end, it says what is kept, and the exit code is 130."""
    with interruptible():
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"interrupted; {kept}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def next_step(*arguments: object, options: Mapping[str, object] = MappingProxyType({})) -> None:
    """Names the command that most would give next, ready to be pasted; within a pipeline that is known already.

    `options`: those that it has where they are not None, by name.
    """
    given = [word for option, value in options.items() if value is not None for word in (option, value)]
    if WITHIN_A_PIPELINE not in os.environ and not quiet():
        typer.echo(f"next: rhas {shlex.join(map(str, (*arguments, *given)))}", err=True)


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


def next_with_features(out: Place) -> None:
    """What is done with a features folder: it is learned from, if there are labels."""
    from rhas.manifests.shards.layout import FeaturesFolder

    if isinstance(out, Remote) or FeaturesFolder(out).labels.exists():
        next_step("train", "--shards", out)
    else:
        next_step("labels", out, "--labels", "labels.csv")
