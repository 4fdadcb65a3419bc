"""The command `rhas config`: what presets there are, and all that one of them sets."""

from __future__ import annotations

from typing import Annotated

import typer

from rhas.pipeline.commands.options import LOOK, SetOption, next_step

commands = typer.Typer()


@commands.command(rich_help_panel=LOOK)
def config(
    preset: Annotated[
        str | None, typer.Argument(help="A preset of either stage (blip2, paper, …) or a YAML file")
    ] = None,
    every: Annotated[bool, typer.Option("--list", help="List the presets of both stages")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="The JSON schema for editors, instead of the settings")
    ] = False,
    stage: Annotated[
        str | None, typer.Option("--stage", help="Whose the YAML file is: extract or train")
    ] = None,
    settings: SetOption = None,
) -> None:
    """Print a preset with all of its settings, as YAML."""
    from rhas.pipeline.programs.presets import list_presets, stage_of

    if every == (preset is not None):
        raise typer.BadParameter("give either a preset or --list")
    if preset is None:
        for line in list_presets():
            typer.echo(line)
        next_step("config", "blip2")
        return
    stage = stage_of(preset, stage)

    from rhas.pipeline.programs import resolving

    show = resolving.schema if schema else resolving.resolved
    typer.echo(show(stage, preset, settings or []).rstrip())
    chosen = [part for setting in settings or [] for part in ("--set", setting)]
    if stage == "extract":
        next_step("extract", "--movies", "manifest.csv", "--preset", preset, *chosen)
    else:
        next_step("train", "--shards", "features", "--config", preset, *chosen)
