"""The commands plan and extract, and options that are about movies and models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place, named_place
from rhas.pipeline.commands.options import (
    EXTRACT,
    ActionsOption,
    SetOption,
    interruptible_work,
    next_step,
    next_with_features,
)
from rhas.pipeline.commands.outputs import FEATURES_RULE
from rhas.pipeline.views.telling import say

commands = typer.Typer()

MOVIES = typer.Option(
    "--movies", help="Manifest CSV: movie_id,video,person_id,reference[,start_s,end_s,split]"
)
Movies = Annotated[Path, MOVIES]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="Labels CSV: movie_id,person_id,action,start_s,end_s",
        show_default="labels.csv beside the manifest, if any",
    ),
]
Preset = Annotated[str, typer.Option("--preset", help="blip2, clip, mini, tiny-random or a YAML file")]
Fps = Annotated[
    str | None,
    typer.Option("--fps", help="Samples per second of movie, or 'native'", show_default="the preset's, 15"),
]
DetectorWeights = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="GroundingDINO: a released .pth checkpoint, a local directory or a hub id; or a CSV of known boxes. "
        "A preset's detector.refine is off then",
    ),
]
EncoderWeights = Annotated[
    str | None, typer.Option("--encoder", help="BLIP-2 or CLIP: a local directory or a hub id")
]
TimeOrigin = Annotated[
    str | None,
    typer.Option(
        "--time-origin",
        help="What time 0 is: first-frame, or container, the clock of players",
        show_default="the preset's, first-frame",
    ),
]


def other_preset(preset: str) -> str | None:
    """A preset, if it has to be named."""
    return None if preset == "blip2" else preset


def overrides(
    fps: str | None,
    detector: str | None,
    encoder: str | None,
    settings: list[str] | None,
    time_origin: str | None = None,
) -> list[str]:
    """Dedicated options as `--set` would have them; explicit `--set` comes last and wins."""
    from yaml import safe_dump

    def text(value: str) -> str:
        return str(safe_dump(value, default_style='"', width=10**9)).strip()

    found = [f"decode.time_origin={time_origin}"] if time_origin is not None else []
    if fps is not None:
        found.append(f"decode.fps={'null' if fps == 'native' else fps}")
    if detector is not None:
        kinds = {".pth": "groundingdino", ".pt": "groundingdino", ".csv": "boxes"}
        implementation = kinds.get(Path(detector).suffix, "transformers")
        # A preset's net that makes boxes exact goes with its detector: of other movies it knows nothing.
        found += [
            f"detector.weights={text(detector)}",
            f"detector.implementation={implementation}",
            "detector.refine=null",
        ]
        if implementation == "boxes":  # nobody has to be tracked any more
            found.append("tracks.implementation=frames")
    if encoder is not None:
        found.append(f"encoder.weights={text(encoder)}")
    return found + (settings or [])


@commands.command(rich_help_panel=EXTRACT)
def plan(
    movies: Movies,
    preset: Preset = "blip2",
    fps: Fps = None,
    time_origin: TimeOrigin = None,
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
    """Probe every movie, without models: frames, hours, bad files, bytes to write, estimated time."""
    from rhas.extract.config import load_config
    from rhas.extract.plan.forecast import check
    from rhas.extract.plan.plan import plan_movies
    from rhas.manifests.tables.inputs import load_inputs
    from rhas.pipeline.views.plan_table import print_plan

    check(gpus, cpus, tflops)
    inputs = load_inputs(movies, *_labels_of(movies, labels, actions))
    config = load_config(preset, overrides(fps, None, None, settings, time_origin))
    planned = plan_movies(inputs, config, cpus)
    code = print_plan(planned, config, gpus, like, tflops, cpus)
    same = {
        "--preset": other_preset(preset), "--fps": fps, "--time-origin": time_origin, "--labels": labels,
        "--actions": actions,
    }  # fmt: skip
    set_so = [word for setting in settings or () for word in ("--set", setting)]
    next_step("extract", "--movies", movies, *set_so, options=same)
    raise typer.Exit(code)


@commands.command(rich_help_panel=EXTRACT)
def extract(
    context: typer.Context,
    movies: Annotated[Path | None, MOVIES] = None,
    add: Annotated[
        Path | None,
        typer.Option(
            "--add",
            help="Instead: CSV of persons to add to --out: movie_id,person_id,reference[,tracks,start_s,end_s,split]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=named_place,
            metavar="PATH",
            help="Features folder; a path, s3:// or gs://; a rerun continues what is there",
            show_default=f"{FEATURES_RULE}",
        ),
    ] = None,
    gpus: Annotated[int, typer.Option(help="Model workers with one GPU each; 0 runs the models on CPUs")] = 0,
    preset: Preset = "blip2",
    fps: Fps = None,
    time_origin: TimeOrigin = None,
    labels: LabelsOption = None,
    actions: ActionsOption = None,
    detector: DetectorWeights = None,
    encoder: EncoderWeights = None,
    cpus: Annotated[
        int | None, typer.Option(help="Cores to use", show_default="all of the cluster's")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Model workers with --gpus 0", show_default="one per four cores")
    ] = None,
    decoders: Annotated[
        int | None, typer.Option(help="Decoder processes", show_default="three per GPU")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, e.g. auto", show_default="this machine alone")
    ] = None,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Ray on this machine even for a single model worker, which needs none"),
    ] = False,
    batch: Annotated[int, typer.Option(help="Frames in one model call; halved when memory runs out")] = 16,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GiB of decoded frames in flight, over all workers",
            show_default="6, or 6 per GPU",
        ),
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Seconds without progress after which a decoder is killed")
    ] = 60.0,
    reader: Annotated[
        Literal["packets", "decord"],
        typer.Option(
            help="packets, or decord for the movies that it shows exactly: the same pictures, slower"
        ),
    ] = "packets",
    max_failure_rate: Annotated[
        float, typer.Option(help="Share of movies or frames lost above which the exit code is 4")
    ] = 0.5,
    elastic: Annotated[
        bool,
        typer.Option(
            "--elastic", help="With --address: begin with the nodes there are; more may join, and leave"
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Where movies at s3://, gs:// and https:// are fetched to",
            show_default="RHAS_CACHE, or /tmp",
        ),
    ] = None,
    cache_gib: Annotated[
        float | None,
        typer.Option(
            "--cache-gib",
            min=0.001,
            help="GiB of them at most",
            show_default="RHAS_CACHE_GIB, or half of what is free",
        ),
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            help="Do a share of the movies, beside others in the same folder: 0, 1 … or slurm (its array)",
        ),
    ] = None,
    world_size: Annotated[
        int | None, typer.Option("--world-size", help="With --rank: how many such commands there are")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Redo movies whose sentences or file changed")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Redo windows that lost frames, and movies that could not be opened"
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read finished shards from end to end, and redo windows that are damaged"
        ),
    ] = False,
    speed_check: Annotated[
        bool,
        typer.Option(
            "--speed-check/--no-speed-check",
            help="At the end, time the models alone for at most 3 s: what of their speed was reached",
        ),
    ] = True,
    settings: SetOption = None,
) -> None:
    """Turn the movies of a manifest into verified feature shards."""
    from rhas.pipeline.commands.outputs import features_folder, told_features

    _one_of(movies, add, out, context)
    chosen, out = out is None, out or features_folder(movies or Path())
    with interruptible_work(f"finished windows are kept in {out}, the same command continues there"):
        from rhas.extract.config import RunOptions, default_memory_bytes, load_config
        from rhas.extract.run.adding import add as add_persons
        from rhas.extract.run.run import extract as run_extraction
        from rhas.manifests.tables.inputs import load_inputs
        from rhas.pipeline.programs.array_rank import array_rank
        from rhas.pipeline.views.display import live, make_console, print_summary

        memory_bytes = default_memory_bytes(gpus) if memory is None else int(memory * 2**30)
        number, of = array_rank(rank, world_size, os.environ)
        options = RunOptions(
            rank=number, world_size=of,
            gpus=gpus, cpus=cpus, workers=workers, decoders=decoders, address=address, ray=ray,
            batch=batch, memory_bytes=memory_bytes, deadline_s=deadline, reader=reader,
            max_failure_rate=max_failure_rate, elastic=elastic, update=update,
            cache=None if cache is None else str(cache.absolute()),
            cache_bytes=None if cache_gib is None else int(cache_gib * 2**30), retry_failed=retry_failed, verify=verify,
            speed_check=speed_check,
        )  # fmt: skip
        console = make_console()
        if movies is None:
            assert add is not None and isinstance(out, Path)
            say(told_features(out, chosen))
            with live(console) as callback:
                summary = add_persons(add, out, options, callback)
        else:
            inputs = load_inputs(movies, *_labels_of(movies, labels, actions))
            config = load_config(preset, overrides(fps, detector, encoder, settings, time_origin))
            say(told_features(out, chosen))
            with live(console) as callback:
                summary = run_extraction(inputs, out, config, options, callback)
    print_summary(console, summary, out)
    next_with_features(out)
    raise typer.Exit(summary.exit_code)


def _labels_of(movies: Path, labels: Path | None, actions: Path | None) -> tuple[Path | None, Path | None]:
    """Labels and actions that were given, or else `labels.csv` and `actions.csv` in the manifest's folder, if any."""

    def beside(name: str) -> Path | None:
        return path if (path := movies.parent / name).is_file() else None

    return labels or beside("labels.csv"), actions or beside("actions.csv")


_OF_THE_FOLDER = (
    "preset", "fps", "time_origin", "labels", "actions", "detector", "encoder", "settings", "rank", "world_size",
    "update", "retry_failed", "verify",
)  # fmt: skip


def _one_of(movies: Path | None, add: Path | None, out: Place | None, context: typer.Context) -> None:
    """Raises InputError unless it is either movies of a manifest or persons for a folder that is here."""
    if (movies is None) == (add is None):
        raise InputError(
            Problem("--movies", "a manifest, or --add with persons for a features folder; one of them")
        )
    if add is None:
        return
    if not isinstance(out, Path):
        expected = "with --add the features folder that they are added to, on this machine"
        raise InputError(Problem("--out", expected, value=out))
    given = [
        name for name in _OF_THE_FOLDER if str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    ]
    if given:
        expected = "none of them with --add: settings are the folder's"
        named = [name.replace("_", "-").replace("settings", "set") for name in given]
        raise InputError([Problem(f"--{name}", expected) for name in named])
