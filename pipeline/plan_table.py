"""`rhas plan`: the plan as a table, and what it adds up to."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from extract.config import ExtractConfig
from extract.plan import FilmPlan, seconds_like
from pipeline.display import duration, make_console

CPU_TFLOPS = 0.1  # sustained on one core in float32: the order of magnitude, for plans without --like


def size(count: float) -> str:
    """Bytes in the largest unit that leaves at least one."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def print_plan(
    films: list[FilmPlan], config: ExtractConfig, gpus: int, like: Path | None, tflops: float
) -> int:
    """Prints the plan. Exit code 0, or 3 when some films can't be opened."""
    import os

    console = make_console()
    table = Table(
        "film", "persons", "hours", "size", "frames", "person-frames", "to write", "problem", title="plan"
    )
    for film in films:
        if film.reason:
            table.add_row(film.movie_id, str(film.persons), *[""] * 5, f"[red]{film.reason}[/red]")
        else:
            table.add_row(film.movie_id, str(film.persons), f"{film.hours:.3f}", f"{film.width}×{film.height}",
                          str(film.frames), str(film.person_frames), size(film.bytes))  # fmt: skip
    console.print(table)
    frames, bad = sum(f.frames for f in films), [f for f in films if f.reason]
    rate = f"{config.decode.fps:g} frames/s" if config.decode.fps else "every frame"
    console.print(
        f"{len(films)} films, {len(bad)} unreadable, {sum(f.hours for f in films):.2f} hours at {rate}: {frames} frames, "
        f"{sum(f.person_frames for f in films)} person-frames, {size(sum(f.bytes for f in films))} to write",
        highlight=False,
    )
    if like is not None:
        seconds, source = seconds_like(like, frames, gpus), f"at the speed per worker in {like}"
    elif config.encoder.weights.startswith("random:tiny"):
        console.print("time: unknown for the small random models; give --like with an earlier report.json")
        return 3 if bad else 0
    else:
        workers, each = (gpus, tflops) if gpus else (os.cpu_count() or 1, CPU_TFLOPS)
        seconds = sum(f.tflop for f in films) / (workers * each)
        source = f"{sum(f.tflop for f in films):.0f} TFLOP on {workers} {'GPUs' if gpus else 'cores'} at {each:g} TFLOP/s, assumed"
    console.print(f"time: about {duration(seconds)} ({source})", highlight=False)
    return 3 if bad else 0
