"""The commands of stage 2: train, eval, predict, export, benchmark, report."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import named_place
from rhas.pipeline.commands.options import (
    LOOK,
    TRAIN,
    DeviceOption,
    MeasuredSplit,
    RunOption,
    SetOption,
    interruptible_work,
    next_step,
    of_fold,
)
from rhas.pipeline.commands.outputs import RUN_RULE
from rhas.pipeline.views.telling import say

commands = typer.Typer()
SHARDS = typer.Option(
    "--shards", parser=named_place, metavar="PATH", help="Features folder, with labels; also s3:// or gs://"
)
UseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Use it otherwise than it was trained, e.g. settings.diffusion.sampling_steps=1"
    ),
]

MovedOption = Annotated[
    Path | None,
    typer.Option(
        "--shards",
        parser=named_place,
        metavar="PATH",
        help="Where the run's features are, if they were moved",
    ),
]


@commands.command(rich_help_panel=TRAIN)
def train(
    shards: Annotated[Path, SHARDS],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder; a rerun continues what is there", show_default=f"{RUN_RULE}"),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", help="A preset or a YAML file", show_default="the model's")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="hopadiff, actdiff, actfusion, asformer, asquery, fact, futr, ltcontext, mstcn or refatomnet",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="random, cross-movie, manifest or fold")
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", help="Which fold of splits.csv; implies --split fold")
    ] = None,
    window: Annotated[int | None, typer.Option("--window", help="Frames of a sample, e.g. 3000")] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", help="Data parallel on so many", show_default="one, or the CPU")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Data parallel on so many CPU processes")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join for --gpus or --workers")] = None,
    device: DeviceOption = None,
    init_from: Annotated[
        Path | None, typer.Option("--init-from", help="Begin with the weights of this run or checkpoint")
    ] = None,
    callback: Annotated[
        list[str] | None, typer.Option("--callback", help="Installed, to be told; see docs/callbacks.md")
    ] = None,
    settings: SetOption = None,
) -> None:
    """Fit a segmenter to labelled feature shards."""
    if device is not None and (gpus is not None or workers is not None):
        raise typer.BadParameter(
            "not with --gpus or --workers, which choose their own", param_hint="--device"
        )
    named = {
        "model": model,
        "data.split": split,
        "data.fold": fold,
        "data.window": window,
        "callbacks": callback,
    }
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None]
    overrides += of_fold("--fold", fold, split, settings or [])
    overrides += settings or []
    with interruptible_work("nothing was begun"):
        from rhas.manifests.shards.mirror import features_here
        from rhas.pipeline.commands.outputs import new_run, told_run
        from rhas.pipeline.programs.training import train_run
        from rhas.train.runs.settings import load_whole_config, preset_for

        preset = config or preset_for(model)
        unnamed = None if out else load_whole_config(preset, overrides).model
        shards = features_here(shards)
    with nullcontext(out) if out else new_run(str(unnamed)) as run:
        for line in told_run(run, unnamed):
            say(line)
        again = "the same command" + f" with --out {run}" * (out is None)
        with interruptible_work(f"{again} goes on from the last checkpoint in {run}"):
            train_run(
                shards, run, preset, overrides, gpus, workers, address, device=device, init_from=init_from
            )
    next_step("eval", "--run", run)


@commands.command("eval", rich_help_panel=TRAIN)
def evaluate(
    run: RunOption,
    split: MeasuredSplit = "test",
    task: Annotated[str, typer.Option("--task", help="segmentation or anticipation")] = "segmentation",
    settings: UseOption = None,
    device: DeviceOption = None,
    shards: MovedOption = None,
) -> None:
    """Measure a run on a split, beside the baselines."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.train.evaluation.anticipation import evaluate_anticipation
    from rhas.train.evaluation.evaluation import evaluate_run

    if task == "anticipation" and settings:
        raise typer.BadParameter("not with --task anticipation", param_hint="--set")
    features = None if shards is None else features_here(shards)
    if task == "anticipation":
        evaluate_anticipation(run, split, features, device)
        typer.echo((run / "anticipation.md").read_text())
        next_step("predict", "--run", run, "--shards", _features_of(run), "--anticipate", "60s")
    elif task == "segmentation":
        evaluate_run(run, split, features, device, settings or ())
        typer.echo((run / "results.md").read_text())
        next_step("report", "--run", run, "--out", run / "report")
    else:
        raise typer.BadParameter("segmentation or anticipation", param_hint="--task")


@commands.command(rich_help_panel=TRAIN)
def predict(
    run: RunOption,
    shards: Annotated[
        Path | None,
        typer.Option(
            "--shards", parser=named_place, metavar="PATH", help="Features folder; labels are not needed"
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Only this split of the run's own data")
    ] = None,
    movie: Annotated[
        Path | None,
        typer.Option("--movie", parser=named_place, metavar="PATH", help="A movie, instead of --shards"),
    ] = None,
    person: Annotated[
        str | None, typer.Option("--person", help="With --movie: the sentence that says who")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for them",
            show_default="in the run folder, predictions or predictions-MOVIE-PERSON",
        ),
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", help="With --movie: GPUs for extraction")] = 0,
    anticipate: Annotated[
        str | None,
        typer.Option("--anticipate", help="Also what comes next, e.g. 60s (models actfusion, futr)"),
    ] = None,
    settings: UseOption = None,
    device: DeviceOption = None,
) -> None:
    """Segments, scores and timelines: of everyone in a features folder, or of one person in a movie."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.pipeline.programs.training import (
        movie_predictions,
        predict_movie,
        predict_shards,
        seconds_of,
    )

    shards = None if shards is None else features_here(shards)
    named = run / "predictions" if movie is None else movie_predictions(run, movie, person or "")
    target = out or named.parent / "-".join([named.name, *(settings or [])])
    ahead_s = None if anticipate is None else seconds_of(anticipate, "--anticipate")
    if movie is not None and person is not None and shards is None and split is None:
        with interruptible_work(f"finished windows are kept in {target / 'features'}"):
            count = predict_movie(run, movie, person, target, gpus, device, settings or ())
    elif shards is not None and movie is None and person is None:
        count = predict_shards(run, shards, target, split, device, settings or ())
    else:
        raise typer.BadParameter("give either --shards (and --split), or --movie and --person")
    typer.echo(f"{target}: {count} segments in segments.csv, with scores and timelines")
    if ahead_s is not None:
        from rhas.train.scoring.anticipation import anticipate_run

        features = shards or target / "features"
        count = len(anticipate_run(run, features, target, ahead_s, device, settings or ()))
        typer.echo(f"{target}: {count} segments of the next {ahead_s:g} s in anticipated.csv")
    next_step("export", "--run", run, "--out", "model")


@commands.command(rich_help_panel=TRAIN)
def export(
    out: Annotated[Path, typer.Option("--out", help="Folder to hand on, e.g. to a hub")],
    run: Annotated[Path | None, typer.Option("--run", help="Run folder: what using it takes")] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            parser=named_place,
            metavar="PATH",
            help="Features folder: what training on it takes",
        ),
    ] = None,
    form: Annotated[
        Literal["parquet", "webdataset"], typer.Option("--format", help="Of features: parquet or webdataset")
    ] = "parquet",
) -> None:
    """A run, or a features folder, for others, on any machine: with all that belongs to it, and a card."""
    if (run is None) == (features is None):
        raise typer.BadParameter("give either --run or --features")
    if run is not None:
        from rhas.train.evaluation.export import export_run

        export_run(run, out)
        names = ", ".join(sorted(path.name for path in out.iterdir()))
        typer.echo(f'{out}: {names}; rhas.load_run("{out}") opens it')
        next_step("predict", "--run", out, "--shards", _features_of(run))
    elif features is not None:
        with interruptible_work(f"{out} is not whole: remove it"):
            from rhas.manifests.shards.mirror import features_here
            from rhas.pipeline.programs.exporting import export_features

            for line in export_features(features_here(features), out, form):
                typer.echo(line)


@commands.command(rich_help_panel=TRAIN)
def benchmark(
    shards: Annotated[Path, SHARDS],
    out: Annotated[Path, typer.Option("--out", help="Folder for runs and tables; a rerun continues")],
    models: Annotated[
        str, typer.Option("--models", help="Systems as they are, e.g. hopadiff,actdiff,ltcontext,mstcn")
    ] = "",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="Systems of a preset (field, ablation, anticipation, tokens) or a YAML file"
        ),
    ] = None,
    config: Annotated[
        str, typer.Option("--config", help="What all have in common: a preset or YAML")
    ] = "hopadiff",
    split: Annotated[
        str | None, typer.Option("--split", help="random, cross-movie, manifest or fold")
    ] = None,
    window: Annotated[int | None, typer.Option("--window", help="Frames of a sample, e.g. 3000")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each system")] = 3,
    folds: Annotated[
        str, typer.Option("--folds", help="Cross-validation over these, e.g. 1,2,3,4; implies --split fold")
    ] = "",
    task: Annotated[
        Literal["segmentation", "anticipation"],
        typer.Option("--task", help="anticipation: what comes next is measured, too"),
    ] = "segmentation",
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="NAME=FOLDER: other features of the same persons, run as SYSTEM@NAME"),
    ] = None,
    at_once: Annotated[
        int,
        typer.Option(
            "--at-once", help="Runs beside each other: a GPU for each in turn, or its share of cores"
        ),
    ] = 1,
    settings: SetOption = None,
) -> None:
    """Train and measure several systems under one budget, and write one table."""
    names = [name for name in models.split(",") if name]
    if not names and preset is None:
        raise typer.BadParameter("give --models or --preset")
    named = {"data.split": split, "data.window": window}
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None]
    overrides += of_fold("--folds", folds, split, settings or [])
    try:
        chosen = [int(fold) for fold in folds.split(",") if fold]
    except ValueError:
        raise typer.BadParameter("numbers with commas between", param_hint="--folds") from None
    other_features = {}
    for given in also or []:
        name, equals, folder = given.partition("=")
        if not (name and equals and folder):
            raise typer.BadParameter(f"NAME=FOLDER, not {given!r}", param_hint="--also")
        other_features[name] = folder
    with interruptible_work(f"the same command goes on from what is finished in {out}"):
        from rhas.manifests.shards.mirror import features_here
        from rhas.pipeline.programs.benchmark import run_benchmark

        here, settings = features_here(shards), overrides + (settings or [])
        others = {name: features_here(named_place(folder)) for name, folder in other_features.items()}
        code = run_benchmark(here, out, names, preset, config, settings, seeds, chosen, task, others, at_once)
    for cost in sorted(out.glob("*/cost.json"))[:1]:  # of a run that is done
        next_step("report", "--run", cost.parent, "--out", out / "report")
    raise typer.Exit(code)


@commands.command(rich_help_panel=LOOK)
def report(
    run: RunOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the page, the movie and the timelines")],
    shards: MovedOption = None,
    split: MeasuredSplit = "test",
    movie: Annotated[
        str | None, typer.Option("--movie", help="Movie to show", show_default="the one that came out best")
    ] = None,
) -> None:
    """One page to show around: results beside the baselines, timelines, a movie with all of it drawn in."""
    from rhas.manifests.shards.mirror import features_here
    from rhas.pipeline.report.making import write_report

    shards = None if shards is None else features_here(shards)
    typer.echo(str(write_report(run, out, shards, split, movie, typer.echo)))
    next_step("predict", "--run", run, "--shards", shards or _features_of(run))


def _features_of(run: Path) -> str:
    """What a run learned from, to be named in the next command."""
    from rhas.train.runs.run import RunFolder, read_json

    with suppress(InputError):
        return str(read_json(RunFolder(run).data).get("features", "features"))
    return "features"
