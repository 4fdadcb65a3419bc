"""`rhas plan`: the plan as a table, and what it adds up to."""

from __future__ import annotations

import os
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from extract.config import DECODERS_PER_GPU, ExtractConfig
from extract.plan import FilmPlan, seconds_like
from pipeline.display import duration, make_console

CPU_TFLOPS = 0.1  # sustained on one core in float32: the order of magnitude, for plans without --like


def print_plan(
    films: list[FilmPlan], config: ExtractConfig, gpus: int, like: Path | None, tflops: float
) -> int:
    """Prints the plan. Exit code 0, or 3 when some films can't be opened."""
    console = make_console()
    table = Table(
        "film", "persons", "hours", "size", "frames", "person-frames", "to write", "problem", title="plan"
    )
    for film in films:
        if film.reason:
            table.add_row(film.movie_id, str(film.persons), *[""] * 5, f"[red]{film.reason}[/red]")
        else:
            table.add_row(film.movie_id, str(film.persons), f"{film.hours:.3f}", f"{film.width}×{film.height}",
                          str(film.frames), str(film.person_frames), decimal(film.bytes))  # fmt: skip
    console.print(table)
    frames, bad = sum(f.frames for f in films), [f for f in films if f.reason]
    rate = f"{config.decode.fps:g} frames/s" if config.decode.fps else "every frame"
    console.print(
        f"{len(films)} films, {len(bad)} unreadable, {sum(f.hours for f in films):.2f} hours at {rate}: "
        f"{frames} frames, {sum(f.person_frames for f in films)} person-frames, "
        f"{decimal(sum(f.bytes for f in films))} to write",
        highlight=False,
    )
    if like is not None:
        seconds, source = seconds_like(like, frames, gpus), f"at the speed per worker in {like}"
    elif config.encoder.weights.startswith("random:tiny"):
        console.print("time: unknown for the small random models; give --like with an earlier report.json")
        return 3 if bad else 0
    else:
        unit, workers, each = ("GPUs", gpus, tflops) if gpus else ("cores", os.cpu_count() or 1, CPU_TFLOPS)
        tflop = sum(f.tflop for f in films)
        decoders = DECODERS_PER_GPU * gpus if gpus else workers
        decode_s = sum(f.decode_core_s for f in films) / decoders
        seconds = max(tflop / (workers * each), decode_s)
        source = (
            f"{tflop:.0f} TFLOP on {workers} {unit} at {each:g} TFLOP/s, assumed; decoding takes "
            f"{duration(decode_s)} on {decoders} cores beside it"
        )
    console.print(f"time: about {duration(seconds)} ({source})", highlight=False)
    return 3 if bad else 0
