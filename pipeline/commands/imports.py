"""The commands `rhas import …`: data of others to a manifest and labels, or a features folder; weights to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rhas.pipeline.commands.options import ActionsOption, DeviceOption, HelpByDefault, SetOption, next_step

import_app = typer.Typer(
    help="Turn the data of others into manifests or features folders, and weights into runs.",
    cls=HelpByDefault,
)


@import_app.command("ava")
def import_ava(
    annotations: Annotated[
        Path, typer.Argument(help="AVA-style CSV: video_id,timestamp,x1,y1,x2,y2,action_id,person_id")
    ],
    references: Annotated[Path, typer.Option(help="CSV: video_id,person_id,reference")],
    videos: Annotated[Path, typer.Option(help="Folder with the movies, named by video_id")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.csv and labels.csv")],
    actions: ActionsOption = None,
    offset: Annotated[
        float,
        typer.Option(min=0, help="Annotated time, in s, at which the movies begin; 900 for AVA's, if cut"),
    ] = 0.0,
) -> None:
    """Turn AVA-style key-frame annotations and a CSV of sentences into a manifest and labels."""
    from rhas.pipeline.programs.importing import import_ava_files

    said, warnings = import_ava_files(annotations, references, videos, out, actions, offset)
    typer.echo(said)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    next_step("extract", "--movies", out / "manifest.csv")


@import_app.command("mstcn")
def import_mstcn(
    directory: Annotated[Path, typer.Argument(help="Folder with features, groundTruth, splits, mapping.txt")],
    out: Annotated[Path, typer.Option("--out", help="Features folder; a rerun continues what is there")],
    fps: Annotated[float, typer.Option(help="Frames per second of the features; 50Salads has 30")] = 15.0,
    tolerance: Annotated[
        int, typer.Option(min=0, help="Frames that features and truth may differ by; cut to the shorter")
    ] = 15,
    layout: Annotated[
        Literal["FxT", "TxF"] | None,
        typer.Option(help="Of the features' files [default: as the truth's lengths tell]"),
    ] = None,
) -> None:
    """Turn 50Salads, Breakfast, GTEA, or data of your own laid out like them, into a features folder."""
    from rhas.pipeline.programs.importing import import_mstcn_folder

    typer.echo(import_mstcn_folder(directory, out, fps, tolerance, layout))
    next_step("train", "--shards", out)


@import_app.command("refava")
def import_refava(
    directory: Annotated[
        Path, typer.Argument(help="Folder with RefAVA's or RefAVA++'s pickles, three for each split")
    ],
    videos: Annotated[Path, typer.Option(help="Folder with AVA's movies, named as there")],
    out: Annotated[Path, typer.Option(help="Folder for clips.csv and actions.csv")],
    offset: Annotated[
        float,
        typer.Option(min=0, help="Annotated time, in s, at which the movies begin; 900 if they were cut"),
    ] = 0.0,
) -> None:
    """Turn RefAVA (persons in key frames of AVA, each with a sentence) into a table of clips."""
    from rhas.pipeline.programs.importing import import_refava_folder

    typer.echo(import_refava_folder(directory, videos, out, offset))


@import_app.command("rhas133")
def import_rhas133(
    directory: Annotated[Path, typer.Argument(help="Folder with the pickles actions_<split>_rhas.pkl, …")],
    out: Annotated[Path, typer.Option("--out", help="Features folder; a rerun continues what is there")],
    split_name: Annotated[
        list[str] | None,
        typer.Option(
            help="<split> in file names, or NAME=train|val|test; may be repeated [default: train, val, test]"
        ),
    ] = None,
    holistic: Annotated[
        str, typer.Option(help="Folder of <i>_blip_feat.npy, below DIRECTORY")
    ] = "holistic/{split}",
    partial: Annotated[str, typer.Option(help="The same for the person's crop")] = "partial/{split}",
    numbering: Annotated[
        str, typer.Option(help="per-split: <i> counts from 0 in each; through: on from the split before")
    ] = "per-split",
    tokens: Annotated[
        str, typer.Option(help="mean of the 32 query tokens, or all (32 times as large)")
    ] = "mean",
    fps: Annotated[float, typer.Option(help="Frames per second of the features")] = 15.0,
    tolerance: Annotated[
        int, typer.Option(min=0, help="Frames that the files of a sample may differ by; cut to the shortest")
    ] = 0,
    movie_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with (?P<movie>…), maybe (?P<frame>…), for frame ids [default: movie/frame]"
        ),
    ] = None,
    actions: ActionsOption = None,
) -> None:
    """Turn RHAS133's features and pickles, as its authors hand them out, into a features folder."""
    from rhas.pipeline.programs.importing import import_rhas133_folder

    named = {} if movie_pattern is None else {"movie_pattern": movie_pattern}
    line = import_rhas133_folder(
        directory, out, split_name or [], actions, holistic=holistic, partial=partial, numbering=numbering,
        tokens=tokens, fps=fps, tolerance=tolerance, **named,
    )  # fmt: skip
    typer.echo(line)
    next_step("train", "--shards", out)


@import_app.command("weights")
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(help="As the authors of the model released it")],
    config: Annotated[
        str, typer.Option("--config", help="Preset or YAML file that they are for, e.g. actdiff-50salads")
    ],
    out: Annotated[Path, typer.Option("--out", help="Run folder to make")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="actdiff, actfusion, asformer, asquery, fact, ltcontext, mstcn or refatomnet [default: the config's]",
        ),
    ] = None,
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Their data as a features folder, to measure on")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Which fold they are of, with --shards")] = None,
    actions: Annotated[
        Path | None, typer.Option("--actions", help="Without --shards: a CSV of the classes in their order")
    ] = None,
    feature_size: Annotated[int | None, typer.Option(min=1, help="Without --shards")] = None,
    settings: SetOption = None,
    device: DeviceOption = None,
) -> None:
    """Turn a checkpoint that authors released into a run, to evaluate, predict and begin with."""
    named_here = actions is not None, feature_size is not None
    if named_here not in ([(True, True)] if shards is None else [(False, False)]):
        raise typer.BadParameter("give either --shards, or --actions and --feature-size")
    from rhas.pipeline.programs.importing import import_released_weights

    named = {"model": model, "data.fold": fold}
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None]
    chosen = overrides + (settings or [])
    typer.echo(
        import_released_weights(checkpoint, out, config, chosen, shards, actions, feature_size, device)
    )
    next_step(
        *(("predict", "--run", out, "--shards", "features") if shards is None else ("eval", "--run", out))
    )
