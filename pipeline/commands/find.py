"""`rhas find`: who of all that were seen in a movie somebody is, long after it was extracted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rhas.pipeline.commands.features import Features
from rhas.pipeline.commands.options import LOOK, DeviceOption, next_step

commands = typer.Typer()


@commands.command(rich_help_panel=LOOK)
def find(
    features: Features,
    person: Annotated[str | None, typer.Option("--person", help="A sentence that says who is meant")] = None,
    like: Annotated[Path | None, typer.Option("--like", help="A picture of the person: PNG or JPEG")] = None,
    movie: Annotated[
        list[str] | None, typer.Option("--movie", help="In which movie; may be repeated")
    ] = None,
    movies: Annotated[str | None, typer.Option("--movies", help="all: in every movie of the folder")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="All tracks, as .json or .csv")] = None,
    sheet: Annotated[Path, typer.Option("--sheet", help="PNG of the best tracks' pictures")] = Path(
        "found.png"
    ),
    top: Annotated[int, typer.Option("--top", min=1, help="How many tracks are printed and drawn")] = 10,
    device: DeviceOption = None,
) -> None:
    """Find a person among everybody seen, by a sentence or a picture, without decoding or detecting anything."""
    from rhas.manifests.common.errors import InputError, Problem
    from rhas.manifests.shards.mirror import features_here
    from rhas.pipeline.programs.finding import ALL, find, write_found
    from rhas.pipeline.programs.found_tracks import draw_found, print_found

    if movies not in (None, ALL):
        raise InputError(Problem("--movies", "all, or one or more --movie ID", value=movies))
    asked = [ALL] if movies else movie or []
    if not asked:
        raise InputError(Problem("--movie", "the id of a movie, or --movies all"))
    if out is not None and out.suffix not in (".json", ".csv"):
        raise InputError(Problem("--out", "a name that ends in .json or .csv", value=out))
    finding = find(features_here(features), asked, person, like, device or "cpu")
    if out is not None:
        write_found(out, finding, person, like)
    draw_found(sheet, finding, top)
    print_found(finding, top)
    typer.echo(str(sheet))
    next_step("extract", "--add", "persons.csv", "--out", features)
