"""What could not be extracted, and why: `failures.csv`, one row per movie or window that lost frames.

Rows of movies that gave a shard are derived from it, so that file and shards can't disagree; a movie that could
not be opened at all has no shard and one row without a window. What to do about failures is left to a rerun.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from rhas.manifests.shards.format import one_line
from rhas.manifests.shards.reader import Shard, place_of
from rhas.manifests.shards.status import LOST, FrameStatus
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.table import Table


@dataclass(frozen=True)
class Failure:
    """One row. `window` is empty when it concerns the whole movie; `frames` counts lost frames over persons."""

    movie_id: str
    window: int | str
    start_s: float | str
    end_s: float | str
    stage: str  # probe, link, decode, model, write, interval
    reason: str
    frames: int

    @property
    def whole_movie(self) -> bool:
        return self.window == "" and self.stage in ("probe", "link")


COLUMNS = tuple(f.name for f in fields(Failure))


def movie_failure(movie_id: str, stage: str, reason: str) -> Failure:
    """A movie of which nothing could be read: how many frames are lost is unknown."""
    return Failure(movie_id, "", "", "", stage, one_line(reason), 0)


def shard_failures(shard: Shard) -> list[Failure]:
    """The windows of a shard that lost frames, and persons whose interval lies outside the movie."""
    persons = [shard.person(person_id) for person_id in shard.person_ids]
    time_s = shard.file["time_s"][...]
    found = []
    for row in shard.windows():
        start, stop = int(row["start"]), int(row["stop"])
        lost = sum(int(np.isin(p.status[start:stop], LOST).sum()) for p in persons)
        if lost:
            where = (float(time_s[start]), float(time_s[stop - 1]))
            found.append(
                Failure(
                    shard.movie_id,
                    int(row["index"]),
                    *where,
                    one_line(row["stage"]),
                    one_line(row["reason"]),
                    lost,
                )
            )
    for person in persons:
        if (person.status == FrameStatus.OUTSIDE).all():
            interval = shard.file[place_of(person.person_id)].attrs
            there = f" from {time_s[0]:g} to {time_s[-1]:g} s" if len(time_s) else ""
            reason = (
                f"the interval of person {person.person_id}, from {interval['start_s']:g} to "
                f"{interval.get('end_s', np.inf):g} s, holds no frame; the movie has {len(time_s)}{there}"
            )
            found.append(Failure(shard.movie_id, "", "", "", "interval", reason, 0))
    return found


def write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Writes the file atomically; no failures leave a file with just its header."""
    write_rows(path, COLUMNS, [astuple(f) for f in failures])


def read_failures(path: Path) -> list[Failure]:
    """Raises InputError with all problems of the file."""
    with suppress(OSError):  # is reported below
        if path.read_bytes().splitlines() == [",".join(COLUMNS).encode()]:
            return []
    table = read_table(path, COLUMNS, numbers=("start_s", "end_s"))
    cells.identifier(table, "movie_id")
    window = cells.whole_number(table, "window", 0, blank=-1).tolist()
    start_s, end_s = (_seconds(table, column) for column in ("start_s", "end_s"))
    for column in ("stage", "reason"):
        table.check(column, lambda text: () if text == one_line(text) else ("one line of printable text",))
    frames = cells.whole_number(table, "frames", 0).tolist()
    table.raise_problems()
    movies, stages, reasons = (table.texts[column] for column in ("movie_id", "stage", "reason"))
    windows = ["" if index < 0 else index for index in window]
    rows = zip(movies, windows, start_s, end_s, stages, reasons, frames, strict=True)
    return [Failure(*row) for row in rows]


def _seconds(table: Table, column: str) -> list[float | str]:
    expected = "a time in seconds, or an empty cell"
    values = cells.number(table, column, expected, -math.inf, math.inf, blank=math.nan)
    return ["" if math.isnan(value) else value for value in values.tolist()]
