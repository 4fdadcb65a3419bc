"""The command `rhas demo`: all of it once, on made movies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rhas.pipeline.commands.options import LOOK, interruptible_work, next_step

commands = typer.Typer()


@commands.command(rich_help_panel=LOOK)
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for movies, features, run and report")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer movies and less training")] = False,
) -> None:
    """Make movies, take them through both stages with small models, and leave a page that shows it."""
    with interruptible_work("the same command goes on from there"):
        from rhas.pipeline.programs.demo import FULL, QUICK, run_demo

        code = run_demo(out, QUICK if quick else FULL)
    next_step("plan", "--movies", "manifest.csv")
    raise typer.Exit(code)
