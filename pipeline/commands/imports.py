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
    out: Annotated[Path, typer.Option(help="Folder for manifest.csv, labels.csv, actions.csv and boxes.csv")],
    actions: Annotated[
        Path | None,
        typer.Option(
            help="Another list of actions: a label map (.pbtxt) or a CSV", show_default="AVA's own 80"
        ),
    ] = None,
    offset: Annotated[
        float,
        typer.Option(min=0, help="Annotated time, in s, at which the movies begin; 900 for AVA's, if cut"),
    ] = 0.0,
) -> None:
    """Turn AVA-style key-frame annotations and a CSV of sentences into a manifest, labels and boxes."""
    from rhas.pipeline.programs.importing import import_ava_files

    _say(*import_ava_files(annotations, references, videos, out, actions, offset))
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
        typer.Option(help="Of the features' files", show_default="as the truth's lengths tell"),
    ] = None,
) -> None:
    """Turn 50Salads, Breakfast, GTEA, or data of your own laid out like them, into a features folder."""
    from rhas.pipeline.programs.importing import import_mstcn_folder

    _say(*import_mstcn_folder(directory, out, fps, tolerance, layout))
    _train_on(out)


@import_app.command("multilabel")
def import_multilabel(
    annotations: Annotated[
        Path,
        typer.Argument(
            help="JSON with subset, duration and actions of each video, as PDAN and MS-TCT read it"
        ),
    ],
    dataset: Annotated[
        Literal["charades", "multithumos", "tsu"], typer.Option(help="Whose annotations these are")
    ],
    features: Annotated[Path, typer.Option(help="Folder of VIDEO.npy, I3D's or CLIP's")],
    out: Annotated[Path, typer.Option("--out", help="Features folder; a rerun continues what is there")],
    classes: Annotated[
        Path | None,
        typer.Option(help="Names of the classes, 'index name' a line", show_default="c000, c001, …"),
    ] = None,
    count_from: Annotated[
        int | None,
        typer.Option(
            min=0, max=1, help="What the first class is counted as", show_default="as the annotations tell"
        ),
    ] = None,
    movie_fps: Annotated[float, typer.Option(help="Of TSU, whose annotations count frames")] = 25.0,
) -> None:
    """Turn Charades, MultiTHUMOS or TSU, several labels a frame, into a features folder."""
    from rhas.manifests.imports.multilabel import MultilabelOptions
    from rhas.pipeline.programs.importing import import_multilabel_files

    options = MultilabelOptions(dataset, classes, count_from, movie_fps)
    _say(*import_multilabel_files(annotations, features, out, options))
    _train_on(out)


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
    next_step("ravar", "extract", "--clips", out / "clips.csv", "--out", "tokens")


@import_app.command("rhas133")
def import_rhas133(
    directory: Annotated[
        Path, typer.Argument(help="Folder with the authors' folders of features and their pickles")
    ],
    out: Annotated[Path, typer.Option("--out", help="Features folder; a rerun continues what is there")],
    features: Annotated[
        Literal["blip2", "clip"], typer.Option(help="Which of the authors' features to read")
    ] = "blip2",
    protocol: Annotated[
        Literal["cross-movie", "random"], typer.Option(help="random: the lists in randomsplits")
    ] = "cross-movie",
    split_name: Annotated[
        list[str] | None,
        typer.Option(
            help="<split> in file names, or NAME=train|val|test; may be repeated",
            show_default="train, val, test",
        ),
    ] = None,
    holistic: Annotated[
        str | None,
        typer.Option(
            help="Folder of whole frames' features below DIRECTORY, with {split}", show_default="the authors'"
        ),
    ] = None,
    partial: Annotated[str | None, typer.Option(help="The same for persons' features")] = None,
    numbering: Annotated[
        str, typer.Option(help="per-split: <i> counts from 0 in each; through: on from the split before")
    ] = "per-split",
    tokens: Annotated[
        str, typer.Option(help="mean of the 32 query tokens, or all (32 times as large)")
    ] = "mean",
    fps: Annotated[float, typer.Option(help="Frames per second of the features; assumed")] = 15.0,
    tolerance: Annotated[
        int,
        typer.Option(
            min=0, help="Frames by which labels or whole frames may be shorter than the person's features"
        ),
    ] = 0,
    count_from: Annotated[int, typer.Option(help="What the labels count the first action as, 0 or 1")] = 0,
    frame_ids: Annotated[
        bool,
        typer.Option("--frame-ids/--no-frame-ids", help="Whether frame ids say which samples share a movie"),
    ] = True,
    movie_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with (?P<movie>…), maybe (?P<frame>…), for frame ids",
            show_default="movie/frame",
        ),
    ] = None,
    actions: ActionsOption = None,
) -> None:
    """Turn RHAS133's features and pickles, as its authors hand them out, into a features folder."""
    from rhas.pipeline.programs.importing import import_rhas133_folder

    named = {} if movie_pattern is None else {"movie_pattern": movie_pattern}
    said, warnings = import_rhas133_folder(
        directory, out, split_name or [], actions, features=features, protocol=protocol, holistic=holistic,
        partial=partial, numbering=numbering, tokens=tokens, fps=fps, tolerance=tolerance, count_from=count_from,
        frame_ids=frame_ids, **named,
    )  # fmt: skip
    _say(said, warnings)
    _train_on(out)


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
            help="actdiff, actfusion, asformer, asquery, fact, futr, ltcontext, mstcn or refatomnet",
            show_default="the config's",
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


def _say(said: str, warnings: list[str]) -> None:
    typer.echo(said)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _train_on(out: Path) -> None:
    """With the data set's own sides: those of its first fold, or the manifest's."""
    from rhas.manifests.shards.layout import FeaturesFolder

    sides = ("--fold", 1) if FeaturesFolder(out).folds.exists() else ("--split", "manifest")
    next_step("train", "--shards", out, *sides)
