"""The commands `rhas world …`: made movies whose truth is known, and the small models that are trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rhas.pipeline.commands.options import HelpByDefault, interruptible_work, next_step


class _MoviesByDefault(HelpByDefault):
    """`rhas world OUT` means `rhas world movies OUT`; an OUT with the name of a command is `./OUT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["movies", *args]
        return super().parse_args(ctx, args)


world_app = typer.Typer(
    help="Make movies whose truth is known: `rhas world OUT` (./OUT, if it has the name of a command).",
    cls=_MoviesByDefault,
)


@world_app.command("movies")
def make_movies(
    out: Annotated[Path, typer.Argument(help="Folder for manifest, labels, movies and truth")] = Path(
        "movies"
    ),
    movies: Annotated[int, typer.Option(help="How many movies; a rerun may ask for more")] = 24,
    seed: Annotated[int, typer.Option(help="Everything follows from it")] = 0,
    seconds: Annotated[tuple[float, float], typer.Option(help="Shortest and longest movie")] = (30.0, 90.0),
    scale: Annotated[int, typer.Option(help="Of 160×96 pixels")] = 1,
    kind: Annotated[
        str,
        typer.Option(
            help="ordinary; memory: what somebody does depends on what was long ago; long-tail: 137 actions, most rare"
        ),
    ] = "ordinary",
    workers: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
) -> None:
    """Make movies of two to four persons with manifest, labels, references and truth."""
    with interruptible_work("movies that are there stay, the same command makes the others"):
        from rhas.pipeline.world.making import make_world
        from rhas.pipeline.world.writing import World

        manifest = make_world(out, World(movies, seed, *seconds, scale, kind), workers)
    next_step("extract", "--movies", manifest, "--preset", "mini")


@world_app.command("train-models")
def train_models(
    out: Annotated[Path, typer.Argument(help="Folder for the models; a rerun continues what is there")],
    seed: Annotated[int, typer.Option(help="Of weights and of all that is seen")] = 0,
    only: Annotated[str, typer.Option(help="detector, refiner, encoder or all")] = "all",
    detector_steps: Annotated[int, typer.Option(help="Steps of the GroundingDINO")] = 8000,
    detector_steps_again: Annotated[int, typer.Option(help="More of them, from a lower rate on")] = 3000,
    refiner_steps: Annotated[int, typer.Option(help="Steps of the net that makes boxes exact")] = 3000,
    tower_steps: Annotated[int, typer.Option(help="Steps of the BLIP-2's vision tower")] = 5000,
    encoder_steps: Annotated[int, typer.Option(help="Steps of its Q-Former")] = 3600,
    joint_steps: Annotated[int, typer.Option(help="Steps of both together")] = 5500,
) -> None:
    """Fit the small models of preset mini to movies that no experiment uses; on a GPU if there is one."""
    with interruptible_work(f"the same command goes on from what was last saved in {out}"):
        from rhas.pipeline.world.making import fit_models

        fit_models(
            out, seed, only, (detector_steps, detector_steps_again), refiner_steps,
            (tower_steps, encoder_steps, joint_steps),
        )  # fmt: skip
    next_step("world", "measure-models", out)


@world_app.command("measure-models")
def measure_models(
    models: Annotated[
        Path | None,
        typer.Argument(help="Folder with detector/, refiner/ and encoder/", show_default="the shipped ones"),
    ] = None,
    movies: Annotated[int, typer.Option(help="Held-out movies")] = 200,
    seed: Annotated[int, typer.Option(help="Of the held-out movies")] = 0,
    calibration: Annotated[
        bool,
        typer.Option("--calibration", help="How sure boxes may be, as preset mini has it, on other movies"),
    ] = False,
    tracks: Annotated[
        str | None,
        typer.Option(
            help="Who is found where in whole movies: frames (each by itself), builtin, or another tracker"
        ),
    ] = None,
    every_s: Annotated[float, typer.Option(help="Seconds between detections, with --tracks")] = 0.4,
    as_found: Annotated[
        bool, typer.Option("--as-found", help="Boxes as they are found, none made exact")
    ] = False,
) -> None:
    """Measure the small models on movies that neither they nor any experiment have seen."""
    from rhas.pipeline.world.making import Models, print_calibration, print_measures, print_tracks

    of = Models.of(models, as_found)
    if calibration:
        print_calibration(of, tracks, every_s)
    elif tracks is not None:
        print_tracks(of, movies, seed, tracks, every_s)
    else:
        print_measures(of, movies, seed)
