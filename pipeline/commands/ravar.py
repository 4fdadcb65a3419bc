"""The commands `rhas ravar …`: of one person in one clip the actions and the box, from a table of clips to a table of
numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rhas.pipeline.commands.extract import Preset
from rhas.pipeline.commands.options import (
    ActionsOption,
    DeviceOption,
    HelpByDefault,
    MeasuredSplit,
    RunOption,
    SetOption,
    interruptible_work,
    next_step,
)

ravar_app = typer.Typer(
    help="Referring atomic video action recognition: what one person does at one moment, and where they are.",
    cls=HelpByDefault,
)
EXIT_SOME_LOST, EXIT_ALL_LOST = 3, 4

Tokens = Annotated[Path, typer.Option("--tokens", help="Folder that `rhas ravar extract` made")]
Systems = Annotated[
    str | None,
    typer.Option("--systems", help="Some of them, e.g. location,tokens,refatomnet", show_default="all"),
]
Seeds = Annotated[int, typer.Option(help="Runs of each system")]
Every = Annotated[float, typer.Option(help="Seconds from one clip of a person to the next")]
_CONTINUES = "a rerun continues what is there"
_AGAIN = "the same command goes on with what is finished"


@ravar_app.command("clips")
def make_clips(
    movies: Annotated[Path, typer.Option(help="Manifest CSV")],
    labels: Annotated[Path, typer.Option(help="Labels CSV")],
    boxes: Annotated[Path, typer.Option(help="Boxes CSV: movie_id,person_id,time_s,x1,y1,x2,y2")],
    out: Annotated[Path, typer.Option(help="Folder for clips.csv and actions.csv")],
    every: Every = 2.0,
    actions: ActionsOption = None,
) -> None:
    """Make a table of clips from labels and boxes: everyone, every so many seconds."""
    from rhas.pipeline.programs.ravar import clips_from_labels

    typer.echo(clips_from_labels(movies, labels, boxes, actions, out, every))
    next_step("ravar", "extract", "--clips", out / "clips.csv", "--out", "tokens")


@ravar_app.command("extract")
def extract(
    clips: Annotated[Path, typer.Option(help="clips.csv, with actions.csv beside it")],
    out: Annotated[Path, typer.Option("--out", help=f"Folder for the tokens; {_CONTINUES}")],
    preset: Preset = "blip2",
    actions: Annotated[Path | None, typer.Option("--actions", help="Another actions.csv")] = None,
    frames: Annotated[int, typer.Option(help="Of a clip that are seen")] = 8,
    seconds: Annotated[float, typer.Option(help="That they are spread over")] = 3.0,
    categories: Annotated[
        str | None,
        typer.Option(
            help="What the detector is asked for, e.g. person,chair", show_default="COCO's 80 names"
        ),
    ] = None,
    settings: SetOption = None,
    device: DeviceOption = None,
) -> None:
    """See each clip: query tokens, the sentence's vector, and what a detector finds in the key frame."""
    from rhas.extract.clips.config import COCO, ClipConfig
    from rhas.pipeline.programs.ravar import extract_tokens

    names = (
        COCO if categories is None else tuple(name.strip() for name in categories.split(",") if name.strip())
    )
    config = ClipConfig(frames=frames, seconds=seconds, categories=names)
    beside = clips.parent / "actions.csv" if actions is None else actions
    with interruptible_work(_AGAIN):
        found = extract_tokens(clips, beside, out, preset, settings or [], config, device)
    typer.echo(f"{out}: {found.clips} clips ({found.there_already} were there already), {found.lost} lost")
    for reason in found.reasons[:10]:
        typer.echo(f"lost: {reason}", err=True)
    next_step("ravar", "table", "--tokens", out, "--out", "table")
    if found.lost:
        raise typer.Exit(EXIT_SOME_LOST if found.clips else EXIT_ALL_LOST)


@ravar_app.command("train")
def train(
    tokens: Tokens,
    out: Annotated[Path, typer.Option("--out", help="Run folder")],
    settings: SetOption = None,
    device: DeviceOption = None,
) -> None:
    """Train one system (--set system=refatomnet, tokens, crop or location)."""
    from rhas.pipeline.programs.ravar import train_run

    with interruptible_work("the run begins anew"):
        typer.echo(train_run(tokens, out, settings or [], device))
    next_step("ravar", "eval", "--run", out)


@ravar_app.command("eval")
def evaluate(
    run: RunOption,
    split: MeasuredSplit = "test",
    device: DeviceOption = None,
) -> None:
    """Measure a run on a split, beside the constant."""
    from rhas.pipeline.programs.ravar import evaluate_run

    typer.echo(evaluate_run(run, split, device))


@ravar_app.command("table")
def table(
    tokens: Tokens,
    out: Annotated[Path, typer.Option("--out", help=f"Folder for runs and table; {_CONTINUES}")],
    systems: Systems = None,
    seeds: Seeds = 1,
    settings: SetOption = None,
    device: DeviceOption = None,
) -> None:
    """RefAtomNet, without each of its parts, and the baselines, beside the constant."""
    from rhas.pipeline.programs.ravar import table_of

    with interruptible_work(_AGAIN):
        typer.echo(table_of(tokens, out, _systems(systems), seeds, settings or [], device))


@ravar_app.command("world")
def world(
    out: Annotated[Path, typer.Argument(help=f"Folder for all of it; {_CONTINUES}")],
    movies: Annotated[int, typer.Option(help="How many movies")] = 24,
    seed: Annotated[int, typer.Option(help="Of the movies")] = 0,
    seconds: Annotated[tuple[float, float], typer.Option(help="Shortest and longest movie")] = (30.0, 60.0),
    every: Every = 2.0,
    systems: Systems = None,
    seeds: Seeds = 1,
    settings: SetOption = None,
    device: DeviceOption = None,
) -> None:
    """All of it on movies whose truth is known: made, cut into clips, seen by preset mini, learned and measured."""
    from rhas.pipeline.programs.ravar import run_world
    from rhas.pipeline.world.writing import World

    with interruptible_work(_AGAIN):
        asked = World(movies, seed, *seconds)
        typer.echo(run_world(out, asked, every, _systems(systems), seeds, settings or [], device))


def _systems(chosen: str | None) -> list[str]:
    from rhas.train.clips.table import SYSTEMS

    return list(SYSTEMS) if chosen is None else [name for name in chosen.split(",") if name]
