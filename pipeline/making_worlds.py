"""`rhas world`: what a user sees while films are made."""

from __future__ import annotations

import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.display import make_console
from pipeline.world.writing import World, write_world


def make_world(out: Path, films: int, seed: int, seconds: tuple[float, float], workers: int = 1) -> Path:
    """Writes a made world, showing how it goes; returns the manifest's path."""
    world = World(films, seed, *seconds)
    console, began, frames = make_console(), time.monotonic(), 0
    columns = TextColumn("films"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("films", total=films)

        def made(count: int) -> None:
            nonlocal frames
            frames += count
            progress.advance(task)

        manifest = write_world(out, world, workers, made)
    rate = frames / max(1e-6, time.monotonic() - began)
    console.print(
        f"{manifest}: {films} films, {frames} frames, {rate:.0f} frames/s; labels and truth beside it",
        highlight=False,
    )
    return manifest
