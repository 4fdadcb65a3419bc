"""The commands that look at what stage 1 makes: frames, verify, shards, labels, calibrate, look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rhas.manifests.common.locations import named_place
from rhas.pipeline.commands.extract import Fps, Preset, TimeOrigin, other_preset, overrides
from rhas.pipeline.commands.options import (
    EXTRACT,
    LOOK,
    ActionsOption,
    SetOption,
    interruptible_work,
    next_step,
    next_with_features,
)

commands = typer.Typer()

Features = Annotated[
    Path,
    typer.Argument(
        parser=named_place,
        metavar="FEATURES",
        help="Features folder, as written by rhas extract; also s3:// or gs://",
    ),
]


@commands.command(rich_help_panel=LOOK)
def frames(
    movie: Annotated[
        Path, typer.Argument(parser=named_place, metavar="MOVIE", help="A movie, also an address")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures and frames.csv")],
    fps: Fps = None,
    at: Annotated[str | None, typer.Option("--at", help="Moments in seconds, such as 12.4,13")] = None,
    start: Annotated[float | None, typer.Option("--start", help="Samples from this time on, in s")] = None,
    end: Annotated[float | None, typer.Option("--end", help="Samples before this time, in s")] = None,
    time_origin: TimeOrigin = None,
    preset: Preset = "blip2",
    settings: SetOption = None,
) -> None:
    """Write what the models see of a movie as PNG, with a table of times, stamps and statuses."""
    with interruptible_work(f"finished pictures are in {out}"):
        from rhas.extract.config import load_config
        from rhas.pipeline.programs.frames import moments, write_frames

        config = load_config(preset, overrides(fps, None, None, settings, time_origin))
        written = write_frames(movie, out, config, moments(at, start, end), start, end)
    for note in written.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{out}: {written.shown} frames" + (f", {written.lost} could not be decoded" * bool(written.lost))
    )
    next_step("plan", "--movies", "manifest.csv", options={"--preset": other_preset(preset)})
    raise typer.Exit(3 if written.lost else 0)


@commands.command(rich_help_panel=EXTRACT)
def verify(features: Features) -> None:
    """Check every checksum, and that every promised frame is accounted for."""
    from rhas.manifests.shards.mirror import features_here, push_back
    from rhas.pipeline.views.shards_table import print_verification

    code = print_verification(features_here(features))
    if code:
        push_back(features, ["finished.jsonl"])  # which tells the next extraction what is damaged
    if code == 0:
        next_with_features(features)
    raise typer.Exit(code)


@commands.command(rich_help_panel=LOOK)
def shards(features: Features) -> None:
    """List what is there: movies, persons, frames, models, statuses."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.manifests.shards.reader import FeaturesReader
    from rhas.pipeline.views.shards_table import print_shards

    here = features_here(features)
    print_shards(here)
    for movie in FeaturesReader(here).movie_ids[:1]:
        next_step("look", features, "--movie", movie, "--out", "movie.png")


@commands.command(rich_help_panel=EXTRACT)
def labels(
    features: Features,
    labels: Annotated[Path, typer.Option("--labels", help="The new labels CSV")],
    actions: ActionsOption = None,
) -> None:
    """Replace the labels beside the shards; nothing is extracted again."""
    from rhas.manifests.shards.layout import FeaturesFolder
    from rhas.manifests.shards.mirror import features_here, push_back
    from rhas.manifests.shards.reader import FeaturesReader
    from rhas.manifests.shards.snapshot import replace_labels
    from rhas.manifests.tables.label_times import behind_the_end

    here = features_here(features)
    count = replace_labels(FeaturesFolder(here), labels, actions)
    push_back(features, ["actions.csv", "labels.csv"])
    typer.echo(f"{features}: {count} labelled intervals")
    for warning in behind_the_end(labels, FeaturesReader(here).ends_s()):
        typer.echo(f"warning: {warning}", err=True)
    next_with_features(features)


@commands.command(rich_help_panel=EXTRACT)
def calibrate(
    features: Features,
    boxes: Annotated[
        Path, typer.Option("--boxes", help="CSV of true boxes: movie_id,person_id,time_s,x1,y1,x2,y2")
    ],
    out: Annotated[Path, typer.Option("--out", help="Preset to write")] = Path("calibrated.yaml"),
    exact: Annotated[
        Path | None,
        typer.Option("--exact", help="CSV to write instead: the found boxes, right ones as they truly are"),
    ] = None,
) -> None:
    """Measure how probable it is that a detector's boxes are right; write a preset that says so of each box."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.pipeline.programs.calibrating import calibrate as run_calibration
    from rhas.pipeline.programs.calibrating import write_exact

    if exact is not None:
        write_exact(features_here(features), boxes, exact)
        typer.echo(f"{exact}: rhas extract … --detector {exact}")
        return

    for found in run_calibration(features_here(features), boxes, out):
        after = "too few to learn from" if found.after is None else f"{found.after:.3f} on other movies"
        typer.echo(
            f"{found.status}: {found.boxes} boxes, {found.right:.1%} right; "
            f"calibration error {found.before:.3f}, then {after}"
        )
    typer.echo(f"{out}: rhas extract … --preset {out}")


@commands.command(rich_help_panel=LOOK)
def look(
    features: Features,
    movie: Annotated[str, typer.Option("--movie", help="Movie to draw, by its movie_id")],
    out: Annotated[Path, typer.Option("--out", help="PNG to write")] = Path("movie.png"),
) -> None:
    """Draw what a movie's shard holds: frames with boxes, statuses, labels and features over time."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.pipeline.views.picture import draw_movie

    draw_movie(features_here(features), movie, out)
    typer.echo(str(out))
    next_with_features(features)
