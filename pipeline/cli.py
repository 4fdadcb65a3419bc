"""The command `rhas`. Commands parse options, call the stages and print; heavy imports wait until a command runs.

Exit codes: 0 all done, 1 failed or (verify) inconsistent, 2 unusable input, 3 some films or windows failed,
4 too many failed, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.import_commands import ActionsOption, import_app
from pipeline.world_commands import world_app

EXIT_INTERRUPTED = 130
SHOWN_PROBLEMS = 50

app = typer.Typer(
    help="Referring human action segmentation: say what the person a sentence names does, frame by frame.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(import_app, name="import")
app.add_typer(world_app, name="world")

Movies = Annotated[
    Path,
    typer.Option("--movies", help="Manifest CSV: movie_id,video,person_id,reference[,start_s,end_s,split]"),
]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help="Labels CSV: movie_id,person_id,action,start_s,end_s")
]
Preset = Annotated[str, typer.Option("--preset", help="blip2, clip, mini, tiny-random or a YAML file")]
Fps = Annotated[
    str | None,
    typer.Option("--fps", help="Samples per second of film, or 'native' [default: the preset's, 15]"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; may be repeated")
]
DetectorWeights = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="GroundingDINO: a released .pth checkpoint, a local directory or a hub id; or a CSV of known boxes",
    ),
]
EncoderWeights = Annotated[
    str | None, typer.Option("--encoder", help="BLIP-2 or CLIP: a local directory or a hub id")
]
Features = Annotated[Path, typer.Argument(help="Features folder, as written by rhas extract")]


def _overrides(
    fps: str | None, detector: str | None, encoder: str | None, settings: list[str] | None
) -> list[str]:
    """Dedicated options as `--set` would have them; explicit `--set` comes last and wins."""
    found = []
    if fps is not None:
        found.append(f"decode.fps={'null' if fps == 'native' else fps}")
    if detector is not None:
        kinds = {".pth": "groundingdino", ".pt": "groundingdino", ".csv": "boxes"}
        implementation = kinds.get(Path(detector).suffix, "transformers")
        found += [f"detector.weights={detector}", f"detector.implementation={implementation}"]
    if encoder is not None:
        found.append(f"encoder.weights={encoder}")
    return found + (settings or [])


@app.command()
def plan(
    movies: Movies,
    preset: Preset = "blip2",
    fps: Fps = None,
    gpus: Annotated[int, typer.Option(help="GPUs to estimate for; 0: this machine's CPUs")] = 0,
    cpus: Annotated[int | None, typer.Option(help="Cores to estimate for, and to probe with")] = None,
    like: Annotated[
        Path | None, typer.Option(help="report.json of an earlier run, to estimate from its speed")
    ] = None,
    tflops: Annotated[
        float, typer.Option(help="Sustained TFLOP/s of one GPU, where there is no --like")
    ] = 200.0,
    labels: LabelsOption = None,
    actions: ActionsOption = None,
    settings: SetOption = None,
) -> None:
    """Probe every film, without models: frames, hours, bad files, bytes to write, estimated time."""
    from extract.config import load_config
    from extract.plan import plan_films
    from manifests.inputs import load_inputs
    from pipeline.plan_table import print_plan

    inputs = load_inputs(movies, labels, actions)
    config = load_config(preset, _overrides(fps, None, None, settings))
    films = plan_films(inputs.manifest, config, cpus)
    raise typer.Exit(print_plan(films, config, gpus, like, tflops))


@app.command()
def extract(
    movies: Movies,
    out: Annotated[Path, typer.Option("--out", help="Features folder; a rerun continues what is there")],
    gpus: Annotated[int, typer.Option(help="Model workers with one GPU each; 0 runs the models on CPUs")] = 0,
    preset: Preset = "blip2",
    fps: Fps = None,
    labels: LabelsOption = None,
    actions: ActionsOption = None,
    detector: DetectorWeights = None,
    encoder: EncoderWeights = None,
    cpus: Annotated[int | None, typer.Option(help="Cores to use [default: all of the cluster's]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Model workers with --gpus 0 [default: one per four cores]")
    ] = None,
    decoders: Annotated[int | None, typer.Option(help="Decoder processes [default: three per GPU]")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, e.g. auto [default: start Ray here]")
    ] = None,
    batch: Annotated[int, typer.Option(help="Frames in one model call; halved when memory runs out")] = 16,
    memory: Annotated[float, typer.Option(help="GiB of decoded frames in flight, over all workers")] = 4.0,
    deadline: Annotated[
        float, typer.Option(help="Seconds without progress after which a decoder is killed")
    ] = 60.0,
    max_failure_rate: Annotated[
        float, typer.Option(help="Share of films or frames lost above which the exit code is 4")
    ] = 0.5,
    update: Annotated[
        bool, typer.Option("--update", help="Redo films whose sentences or file changed")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Redo windows that lost frames")
    ] = False,
    settings: SetOption = None,
) -> None:
    """Turn the films of a manifest into verified feature shards."""
    from extract.config import RunOptions, load_config
    from extract.run import extract as run_extraction
    from manifests.inputs import load_inputs
    from pipeline.display import live, make_console, print_summary

    inputs = load_inputs(
        movies, labels or _beside(movies, "labels.csv"), actions or _beside(movies, "actions.csv")
    )
    config = load_config(preset, _overrides(fps, detector, encoder, settings))
    options = RunOptions(
        gpus=gpus, cpus=cpus, workers=workers, decoders=decoders, address=address, batch=batch,
        memory_bytes=int(memory * 2**30), deadline_s=deadline, max_failure_rate=max_failure_rate,
        update=update, retry_failed=retry_failed,
    )  # fmt: skip
    console = make_console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how schedulers announce that time is up
    try:
        with live(console) as listener:
            summary = run_extraction(inputs, out, config, options, listener)
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted; finished windows are kept in {out}, the same command continues there", err=True
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_summary(console, summary, out)
    raise typer.Exit(summary.exit_code)


def _beside(movies: Path, name: str) -> Path | None:
    """`labels.csv` and `actions.csv` in the manifest's folder belong to it."""
    beside = movies.parent / name
    return beside if beside.is_file() else None


@app.command()
def verify(features: Features) -> None:
    """Check every checksum, and that every promised frame is accounted for."""
    from pipeline.shards_table import print_verification

    raise typer.Exit(print_verification(features))


@app.command()
def shards(features: Features) -> None:
    """List what is there: films, persons, frames, models, statuses."""
    from pipeline.shards_table import print_shards

    print_shards(features)


@app.command()
def labels(
    features: Features,
    labels: Annotated[Path, typer.Option("--labels", help="The new labels CSV")],
    actions: ActionsOption = None,
) -> None:
    """Replace the labels beside the shards; nothing is extracted again."""
    from manifests.layout import FeaturesFolder
    from manifests.snapshot import replace_labels

    count = replace_labels(FeaturesFolder(features), labels, actions)
    typer.echo(f"{features}: {count} labelled intervals")


@app.command()
def look(
    features: Features,
    movie: Annotated[str, typer.Option("--movie", help="Film to draw, by its movie_id")],
    out: Annotated[Path, typer.Option("--out", help="PNG to write")] = Path("film.png"),
) -> None:
    """Draw what a film's shard holds: frames with boxes, statuses, labels and features over time."""
    from pipeline.picture import draw_film

    draw_film(features, movie, out)
    typer.echo(str(out))


@app.command()
def train(
    shards: Annotated[Path, typer.Option("--shards", help="Features folder, with labels")],
    out: Annotated[Path, typer.Option("--out", help="Run folder; a rerun continues what is there")],
    config: Annotated[
        str, typer.Option("--config", help="A preset (paper, small, …) or a YAML file")
    ] = "paper",
    model: Annotated[
        str | None, typer.Option("--model", help="hopadiff, actdiff, actfusion or ltcontext")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="random, cross-movie, manifest or fold")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Which fold, with --split fold")] = None,
    window: Annotated[int | None, typer.Option("--window", help="Frames of a sample, e.g. 3000")] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", help="Data parallel on so many [default: one, or the CPU]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Data parallel on so many CPU processes")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join for --gpus or --workers")] = None,
    settings: SetOption = None,
) -> None:
    """Fit a segmenter to labelled feature shards."""
    from pipeline.training import train_run

    named = {"model": model, "data.split": split, "data.fold": fold, "data.window": window}
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None]
    train_run(shards, out, config, overrides + (settings or []), gpus, workers, address)


@app.command("eval")
def evaluate(
    run: Annotated[Path, typer.Option("--run", help="Run folder")],
    split: Annotated[str, typer.Option("--split", help="val or test")] = "test",
    task: Annotated[str, typer.Option("--task", help="segmentation or anticipation")] = "segmentation",
) -> None:
    """Measure a run on a split, beside the baselines."""
    from train.anticipation import evaluate_anticipation
    from train.evaluation import evaluate_run

    if task == "anticipation":
        evaluate_anticipation(run, split)
        typer.echo((run / "anticipation.md").read_text())
    elif task == "segmentation":
        evaluate_run(run, split)
        typer.echo((run / "results.md").read_text())
    else:
        raise typer.BadParameter("segmentation or anticipation", param_hint="--task")


@app.command()
def predict(
    run: Annotated[Path, typer.Option("--run", help="Run folder")],
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Features folder; labels are not needed")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Only this split of the run's own data")
    ] = None,
    movie: Annotated[Path | None, typer.Option("--movie", help="A film, instead of --shards")] = None,
    person: Annotated[
        str | None, typer.Option("--person", help="With --movie: the sentence that says who")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="[default: predictions in the run folder]")
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", help="With --movie: GPUs for extraction")] = 0,
    anticipate: Annotated[
        str | None, typer.Option("--anticipate", help="Also what comes next, e.g. 60s (model actfusion)")
    ] = None,
) -> None:
    """Segments, scores and timelines: of everyone in a features folder, or of one person in a film."""
    from pipeline.training import predict_movie, predict_shards, seconds_of

    target = out or run / "predictions"
    ahead_s = None if anticipate is None else seconds_of(anticipate, "--anticipate")
    if movie is not None and person is not None and shards is None and split is None:
        count = predict_movie(run, movie, person, target, gpus)
    elif shards is not None and movie is None and person is None:
        count = predict_shards(run, shards, target, split)
    else:
        raise typer.BadParameter("give either --shards (and --split), or --movie and --person")
    typer.echo(f"{target}: {count} segments in segments.csv, with scores and timelines")
    if ahead_s is not None:
        from train.anticipation import anticipate_run

        count = len(anticipate_run(run, shards or target / "features", target, ahead_s))
        typer.echo(f"{target}: {count} segments of the next {ahead_s:g} s in anticipated.csv")


@app.command()
def benchmark(
    shards: Annotated[Path, typer.Option("--shards", help="Features folder, with labels")],
    out: Annotated[Path, typer.Option("--out", help="Folder for runs and tables; a rerun continues")],
    models: Annotated[
        str, typer.Option("--models", help="Systems as they are, e.g. hopadiff,actdiff,actfusion,ltcontext")
    ] = "",
    preset: Annotated[
        str | None, typer.Option("--preset", help="Systems of a preset (ablation) or a YAML file")
    ] = None,
    config: Annotated[
        str, typer.Option("--config", help="What all have in common: a preset or YAML")
    ] = "paper",
    split: Annotated[
        str | None, typer.Option("--split", help="random, cross-movie, manifest or fold")
    ] = None,
    window: Annotated[int | None, typer.Option("--window", help="Frames of a sample, e.g. 3000")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each system")] = 3,
    folds: Annotated[
        str, typer.Option("--folds", help="Cross-validation over these, e.g. 1,2,3,4 (split fold)")
    ] = "",
    settings: SetOption = None,
) -> None:
    """Train and measure several systems under one budget, and write one table."""
    from pipeline.benchmark import run_benchmark

    names = [name for name in models.split(",") if name]
    if not names and preset is None:
        raise typer.BadParameter("give --models or --preset")
    named = {"data.split": split, "data.window": window}
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None]
    try:
        chosen = [int(fold) for fold in folds.split(",") if fold]
    except ValueError:
        raise typer.BadParameter("numbers with commas between", param_hint="--folds") from None
    code = run_benchmark(shards, out, names, preset, config, overrides + (settings or []), seeds, chosen)
    raise typer.Exit(code)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for films, features, run and report")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer films and less training")] = False,
) -> None:
    """Make films, take them through both stages with small models, and leave a page that shows it."""
    from pipeline.demo import FULL, QUICK, run_demo

    raise typer.Exit(run_demo(out, QUICK if quick else FULL))


@app.command()
def report(
    run: Annotated[Path, typer.Option("--run", help="Run folder")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the page, the film and the timelines")],
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Where the run's features are, if they were moved")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="val or test")] = "test",
    movie: Annotated[
        str | None, typer.Option("--movie", help="Film to show [default: the one that came out best]")
    ] = None,
) -> None:
    """One page to show around: results beside the baselines, timelines, a film with all of it drawn in."""
    from pipeline.report.making import write_report

    typer.echo(str(write_report(run, out, shards, split, movie, typer.echo)))


def main() -> None:
    """Entry point: errors that users can act on become messages, not tracebacks."""
    from manifests.errors import RhasError

    try:
        app()
    except RhasError as error:
        lines = str(error).splitlines()
        for line in lines[:SHOWN_PROBLEMS]:
            typer.echo(f"error: {line}", err=True)
        if len(lines) > SHOWN_PROBLEMS:
            typer.echo(f"error: and {len(lines) - SHOWN_PROBLEMS} more problems", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # Such as a full disk, or one that is gone: what is finished is whole, and stays.
        typer.echo(f"error: {error.filename}: {error.strerror}; a rerun goes on from what is there", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
