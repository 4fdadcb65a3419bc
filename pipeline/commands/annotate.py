"""The commands `rhas annotate to …` and `… from …`: predictions and labels to annotation tools, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rhas.manifests.common.locations import Place, named_place
from rhas.pipeline.commands.options import ActionsOption, interruptible_work, next_step

annotate_app = typer.Typer(
    help="Correct labels, predictions and boxes in ELAN, CVAT or VIA; see docs/annotating.md.",
    no_args_is_help=True,
)
ToolArgument = Annotated[Literal["elan", "cvat", "via"], typer.Argument(help="elan, cvat or via")]
DataArgument = Annotated[
    Path, typer.Argument(parser=named_place, metavar="DATA", help="Features folder, or a manifest CSV")
]
TimeOriginOption = Annotated[
    str | None,
    typer.Option("--time-origin", help="With a manifest: first-frame or container, as for rhas extract"),
]


def _here(data: Place) -> Path:
    """A folder of features where it can be read, or a manifest."""
    from rhas.manifests.shards.mirror import features_here

    return data if isinstance(data, Path) and not data.is_dir() else features_here(data)


@annotate_app.command("to")
def annotate_to(
    tool: ToolArgument,
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for a file of each movie, named by movie_id")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Labels CSV, or segments.csv of rhas predict",
            show_default="the data's labels.csv",
        ),
    ] = None,
    actions: ActionsOption = None,
    movie: Annotated[
        list[str] | None, typer.Option("--movie", help="Only this one, by its movie_id; may be repeated")
    ] = None,
    time_origin: TimeOriginOption = None,
) -> None:
    """Write labels or predictions, and boxes for CVAT, as files to correct in an annotation tool."""
    with interruptible_work(f"finished files are in {out}"):
        from rhas.pipeline.programs.annotating import annotate_to as write

        for line in write(tool, _here(data), out, labels, actions, movie or (), time_origin):
            typer.echo(line, err=line.startswith("note:"))
    same = {"--actions": actions, "--time-origin": time_origin}
    next_step("annotate", "from", tool, out, data, "--out", "corrected.csv", "--keep", options=same)


@annotate_app.command("from")
def annotate_from(
    tool: ToolArgument,
    files: Annotated[Path, typer.Argument(help="A file named by movie_id, or a folder of such files")],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="Labels CSV to write, for rhas labels")],
    boxes: Annotated[
        Path | None,
        typer.Option("--boxes", help="With cvat: CSV of boxes to write, for rhas extract --detector"),
    ] = None,
    actions: ActionsOption = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Movies without a file keep the labels that the data has")
    ] = False,
    time_origin: TimeOriginOption = None,
) -> None:
    """Turn files of an annotation tool into labels, and boxes of CVAT into boxes."""
    with interruptible_work(f"nothing is left in {out} that wasn't there"):
        from rhas.pipeline.programs.annotating import annotate_from as read

        for line in read(tool, files, _here(data), out, boxes, actions, keep, time_origin):
            typer.echo(line, err=line.startswith("note:"))
    if not isinstance(data, Path) or data.is_dir():
        next_step("labels", data, "--labels", out)
    else:
        same = {"--actions": actions, "--time-origin": time_origin}
        next_step("extract", "--movies", data, "--labels", out, options=same)
