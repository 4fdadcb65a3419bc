"""The command `rhas view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rhas.manifests.common.locations import named_place
from rhas.pipeline.commands.extract import TimeOrigin
from rhas.pipeline.commands.options import LOOK, ActionsOption, DeviceOption, interruptible_work, next_step

commands = typer.Typer()


@commands.command(rich_help_panel=LOOK)
def view(
    out: Annotated[Path, typer.Option("--out", help="Folder for the page; open its index.html")] = Path(
        "view"
    ),
    shards: Annotated[
        Path | None,
        typer.Option(
            "--shards",
            parser=named_place,
            metavar="PATH",
            help="Features folder, with labels if there are any",
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder: what it predicts is shown")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Instead of a run: what rhas predict left")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="With --run: only this split of the run's own data")
    ] = None,
    movies: Annotated[
        Path | None, typer.Option("--movies", help="Manifest, instead of features: labels and boxes alone")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Other labels than those beside the data")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option("--boxes", help="With --movies: CSV of boxes, as rhas extract takes")
    ] = None,
    movie: Annotated[
        list[str] | None, typer.Option("--movie", help="Only this movie, by its movie_id; may be repeated")
    ] = None,
    video: Annotated[
        Literal["auto", "proxy", "none"],
        typer.Option(
            "--video",
            help="auto: copies where browsers play them, else proxies; proxy: always; none: no movies",
        ),
    ] = "auto",
    height: Annotated[int, typer.Option("--height", help="Short side of proxies in pixels")] = 480,
    codec: Annotated[
        Literal["h264", "vp9"], typer.Option("--codec", help="Of proxies: H.264 in MP4, or VP9 in WebM")
    ] = "h264",
    actions: ActionsOption = None,
    time_origin: TimeOrigin = None,
    device: DeviceOption = None,
) -> None:
    """A page that opens from disk: play movies with boxes and timelines, search, and correct labels."""
    if (shards is None) == (movies is None):
        raise typer.BadParameter("give either --shards or --movies")
    if shards is None and (run is not None or predictions is not None):
        raise typer.BadParameter("--run and --predictions go with --shards")
    if run is not None and predictions is not None:
        raise typer.BadParameter("give either --run or --predictions")
    if split is not None and run is None:
        raise typer.BadParameter("--split goes with --run")
    if boxes is not None and movies is None:
        raise typer.BadParameter("--boxes goes with --movies; features have boxes of their own")
    if not 16 <= height <= 4320:
        raise typer.BadParameter("16 to 4320 pixels", param_hint="--height")
    with interruptible_work("movies that are finished are kept"):
        from rhas.manifests.shards.mirror import features_here
        from rhas.pipeline.programs.viewing import Wanted, write_view
        from rhas.pipeline.viewer.media import Proxies
        from rhas.pipeline.views.telling import say

        wanted = Wanted(
            run=run, predictions=predictions, split=split, labels=labels, boxes=boxes, actions=actions,
            movies=movie or (), time_origin=time_origin, device=device, video=video, proxies=Proxies(height, codec),
            place=None if shards is None else str(shards),
        )  # fmt: skip
        data = features_here(shards) if shards is not None else movies or Path()
        page = write_view(data, out, wanted, say)
    typer.echo(f"{page}: open it in a browser")
    if shards is not None:
        next_step("labels", shards, "--labels", "labels.csv")
