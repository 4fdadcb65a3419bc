"""`rhas plan`: the plan as a table, and what it adds up to."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from rhas.extract.config import ExtractConfig
from rhas.extract.plan.forecast import cores_for, forecast
from rhas.extract.plan.plan import MoviePlan, is_known, seconds_like
from rhas.pipeline.views.display import duration, make_console

SHIPPED_RATE = 20  # frames/s of the shipped small models on one core, as extract/presets/mini.yaml says
CPU_TFLOPS = 0.1  # sustained on one core in float32: the order of magnitude, for plans without --like


def print_plan(
    movies: list[MoviePlan],
    config: ExtractConfig,
    gpus: int,
    like: Path | None,
    tflops: float,
    cores: int | None = None,
) -> int:
    """Prints the plan. Exit code 0, or 3 when some movies can't be opened."""
    console = make_console()
    table = Table(
        "movie",
        "persons",
        "hours",
        "codec",
        "rate",
        "size",
        "frames",
        "person-frames",
        "to write",
        "problem",
        title="plan",
    )
    for movie in movies:
        if movie.reason:
            reason = f"[red]{escape(movie.reason)}[/red]"
            table.add_row(escape(movie.movie_id), str(movie.persons), *[""] * 7, reason)
        else:
            table.add_row(escape(movie.movie_id), str(movie.persons), f"{movie.hours:.3f}", movie.codec,
                          f"{movie.rate:.3g}", f"{movie.width}×{movie.height}", str(movie.frames),
                          str(movie.person_frames), decimal(movie.bytes))  # fmt: skip
    console.print(table)
    for movie in movies:
        for note in movie.notes:
            console.print(f"[yellow]{escape(movie.movie_id)}[/yellow]: {escape(note)}", highlight=False)
    frames, bad = sum(f.frames for f in movies), [f for f in movies if f.reason]
    rate = f"{config.decode.fps:g} frames/s" if config.decode.fps else "every frame"
    console.print(
        f"{len(movies)} movies, {len(bad)} unreadable, {sum(f.hours for f in movies):.2f} hours at {rate}: "
        f"{frames} frames, {sum(f.person_frames for f in movies)} person-frames, "
        f"{decimal(sum(f.bytes for f in movies))} to write",
        highlight=False,
    )
    if like is not None:
        seconds, source = seconds_like(like, frames, gpus), f"at the speed per worker in {like}"
    elif not gpus and all(part.weights.startswith("shipped:") for part in (config.detector, config.encoder)):
        workers = cores or os.cpu_count() or 1
        seconds = frames / (workers * SHIPPED_RATE) + sum(f.decode_core_s for f in movies) / workers
        source = f"{SHIPPED_RATE} frames/s of the small models on each of {workers} cores, assumed"
    elif config.encoder.weights.startswith(("random:tiny", "shipped:")) or not is_known(config):
        of = "small models" if is_known(config) else "models of other packages, as is what they write"
        console.print(f"time: unknown for {of}; give --like with an earlier report.json", soft_wrap=True)
        return 3 if bad else 0
    elif gpus:
        _print_forecast(console, movies, config, gpus, cores, tflops)
        return 3 if bad else 0
    else:
        workers, tflop = cores or os.cpu_count() or 1, sum(f.tflop for f in movies)
        decode_s = sum(f.decode_core_s for f in movies) / workers
        seconds = tflop / (workers * CPU_TFLOPS) + decode_s  # on the same cores
        source = (
            f"{tflop:.0f} TFLOP on {workers} cores at {CPU_TFLOPS:g}, assumed; {duration(decode_s)} to decode"
        )
    console.print(f"time: about {duration(seconds)} ({source})", highlight=False)
    return 3 if bad else 0


def _print_forecast(
    console: Console,
    movies: list[MoviePlan],
    config: ExtractConfig,
    gpus: int,
    cores: int | None,
    tflops: float,
) -> None:
    """Hours on these GPUs, on fewer and on more, and what to add."""
    window = config.decode.window_frames
    now = forecast(movies, gpus, cores, tflops, window)
    table = Table("GPUs", "cores", "hours", "limited by", title=f"time at {tflops:g} TFLOP/s a GPU, assumed")
    for count in sorted({max(1, gpus // 2), gpus, 2 * gpus}):
        there_cores = None if cores is None else max(count + 1, cores * count // gpus)
        there = forecast(movies, count, there_cores, tflops, window)
        table.add_row(str(count), str(there.cores), f"{there.seconds / 3600:.2f}", there.limit)
    console.print(table)
    enough = cores_for(movies, gpus, tflops)
    console.print(
        f"time: about {duration(now.seconds)} on {gpus} GPUs and {now.cores} cores", highlight=False
    )
    if now.limit == "cores":
        advice = (
            f"buy cores: with {enough} instead of {now.cores} the GPUs no longer wait for frames, and it takes "
            f"{duration(forecast(movies, gpus, enough, tflops).models_s)}; extract with --decoders {enough - gpus}"
        )
    elif now.limit == "driver":
        advice = "buy neither: one extraction can't hand out windows faster; split the manifest and run two at a time"
    else:
        advice = (
            f"buy GPUs: {now.cores - enough} of {now.cores} cores are idle; {min(enough, now.cores)} would do"
        )
    console.print(advice, highlight=False)
