"""`rhas frames`: a movie's samples as pictures, as the models see them, and a table of what each is.

In: a movie, extraction settings, and which moments. Out: `000000.png` … by the sample's number, and `frames.csv` with
`index,time_s,stamp,status,reason`: the moment asked for, when the shown frame begins on the container's clock (which
goes on where recordings were joined), and why there is no picture where there is none.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rhas.extract.config import ExtractConfig
from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.notes import notes_on
from rhas.extract.decode.process import DecodeError, DecoderProcess, fit_short_side
from rhas.extract.decode.sampling import ROUNDING_S, Grid
from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import Place
from rhas.manifests.tables.csvfile import write_rows

COLUMNS = ("index", "time_s", "stamp", "status", "reason")
WINDOW = 64  # pictures held at a time


@dataclass(frozen=True)
class Written:
    """What `write_frames` wrote: pictures, samples without one, and what is unusual about the movie."""

    shown: int
    lost: int
    notes: list[str]


def moments(at: str | None, start_s: float | None, end_s: float | None) -> list[float] | None:
    """The times that `--at` names. Raises InputError for what are none, and beside `--start` and `--end`."""
    if at is None:
        return None
    if start_s is not None or end_s is not None:
        raise InputError(Problem("--at", "no --start and --end beside it", value=at))
    try:
        return [float(text) for text in at.split(",")]
    except ValueError as error:
        raise InputError(
            Problem("--at", "times in seconds with commas between, such as 12.4,13", value=at)
        ) from error


def write_frames(
    movie: Place,
    out: Path,
    config: ExtractConfig,
    at: Sequence[float] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Written:
    """Writes the samples in [start_s, end_s), or the frames shown at the moments `at`. Raises InputError."""
    decode = config.decode
    try:
        with DecoderProcess(deinterlace=decode.deinterlace) as decoder:
            index = decoder.index(movie)
            samples = index.samples(decode.fps, decode.time_origin)
            numbers, grid = _chosen(index, samples, at, start_s, end_s, decode.time_origin)
            size = fit_short_side(index.facts.height, index.facts.width, decode.short_side)
            _clear(out)
            rows: list[tuple[object, ...]] = []
            for first in range(0, len(grid), WINDOW):
                check()
                window = slice(first, first + WINDOW)
                frames, back = np.unique(grid.source_frame[window], return_inverse=True)
                read = decoder.read(movie, index, frames, size)
                for number, time_s, row in zip(numbers[window], grid.time_s[window], back, strict=True):
                    stamp = index.facts.start_s + index.start_s[frames[row]]
                    ok = bool(read.ok[row])
                    if ok:
                        write_bytes_atomically(out / f"{number:06d}.png", _png(read.pixels[row]))
                    status = "shown" if ok else "undecodable"
                    rows.append((number, f"{time_s:.6f}", f"{stamp:.6f}", status, "" if ok else read.reason))
    except DecodeError as error:
        raise InputError(Problem(str(movie), f"a movie ({error})")) from error
    write_rows(out / "frames.csv", COLUMNS, rows)
    lost = sum(row[3] != "shown" for row in rows)
    return Written(len(rows) - lost, lost, notes_on(index))


def _clear(out: Path) -> None:
    """Makes the folder, or takes out what an earlier call left there: no picture of another call's stays."""
    out.mkdir(parents=True, exist_ok=True)
    if (table := out / "frames.csv").exists():
        for old in out.glob("[0-9]*.png"):
            old.unlink()
        table.unlink()


def _chosen(
    index: MovieIndex,
    grid: Grid,
    at: Sequence[float] | None,
    start_s: float | None,
    end_s: float | None,
    time_origin: str,
) -> tuple[np.ndarray, Grid]:
    """Numbers and samples. Raises InputError for moments at which the movie shows nothing."""
    if at is not None:
        origin_s = index.facts.offset_s if time_origin == "container" else 0.0
        moments = np.array(at, dtype=np.float64)
        inside = (moments >= origin_s - ROUNDING_S) & (moments < origin_s + index.end_s)
        if not inside.all():
            expected = f"times in the movie, from {origin_s:.3f} to {origin_s + index.end_s:.3f} s"
            raise InputError(Problem("--at", expected, value=", ".join(f"{t:g}" for t in moments[~inside])))
        after = np.searchsorted(index.start_s - ROUNDING_S, moments - origin_s, side="right")
        return np.arange(len(moments)), Grid(moments, np.maximum(after, 1).astype(np.int64) - 1)
    kept = np.ones(len(grid), bool)
    if start_s is not None:
        kept &= grid.time_s >= start_s
    if end_s is not None:
        kept &= grid.time_s < end_s
    if not kept.any():
        expected = f"times in the movie, from {grid.time_s[0]:.3f} to {grid.time_s[-1]:.3f} s"
        raise InputError(Problem("--start and --end", expected, value=f"{start_s} to {end_s}"))
    return np.flatnonzero(kept), Grid(grid.time_s[kept], grid.source_frame[kept])


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
