"""Boxes that are known already: of a tracker, of annotators, of a made world.

In: a CSV `movie_id,person_id,time_s,x1,y1,x2,y2`, a row for each person and moment at which their box is known; corners
are shares of the frame's width and height, times are seconds of film time. Out: `Boxes`, which has a box for every time
between two rows of a person that are near enough. It may hold films and persons that a manifest doesn't.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import Row, raise_problems, rows_with_header

COLUMNS = ("movie_id", "person_id", "time_s", "x1", "y1", "x2", "y2")
MAX_GAP_S = 1.05  # AVA's annotators gave a box a second; a longer gap is an absence
_SAME_S = 1e-6  # times that differ by less are the same


@dataclass(frozen=True)
class Tracklet:
    """Where a person is: times [N] in seconds, ascending, and boxes [N, 4] as x1 y1 x2 y2."""

    time_s: NDArray[np.float64]
    box: NDArray[np.float32]

    def at(self, time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Boxes [T, 4] at some times: a row's own, or between two rows in proportion; NaN where nothing is known."""
        after = np.searchsorted(self.time_s, time_s - _SAME_S)
        last = len(self.time_s) - 1
        right, left = np.minimum(after, last), np.maximum(after - 1, 0)
        exact = np.abs(self.time_s[right] - time_s) <= _SAME_S
        gap_s = self.time_s[right] - self.time_s[left]
        between = (after > 0) & (after <= last) & (gap_s <= MAX_GAP_S)
        share = np.where(exact, 1.0, (time_s - self.time_s[left]) / np.where(gap_s > 0, gap_s, 1.0))[:, None]
        boxes = (1 - share) * self.box[left] + share * self.box[right]
        return np.where((exact | between)[:, None], boxes, np.nan).astype(np.float32)


def load_boxes(path: Path) -> Mapping[tuple[str, str], Tracklet]:
    """Tracks by (movie_id, person_id); raises `InputError` with all problems of the file."""
    problems: list[Problem] = []
    rows: dict[tuple[str, str], dict[float, tuple[float, ...]]] = {}
    for row in rows_with_header(path, problems, COLUMNS):
        key = cells.identifier(row, "movie_id"), cells.identifier(row, "person_id")
        time_s = cells.number(row, "time_s", "a finite time in seconds, 0 or more", 0.0, float("inf"))
        own = rows.setdefault(key, {})
        if row.sound("time_s") and time_s in own:
            row.reject("time_s", "one box for each moment of a person")
        own[time_s] = _box(row)
    raise_problems(problems)
    return {
        key: Tracklet(np.array(sorted(own)), np.array([own[time_s] for time_s in sorted(own)], np.float32))
        for key, own in rows.items()
    }


def _box(row: Row) -> tuple[float, ...]:
    x1, y1, x2, y2 = (
        cells.number(row, name, "a share of the frame, from 0 to 1", 0.0, 1.0) for name in COLUMNS[3:]
    )
    for low, high, column in ((x1, x2, "x2"), (y1, y2, "y2")):
        if row.sound(*COLUMNS[3:]) and high <= low:
            row.reject(column, f"more than {column[0]}1, {low:g}")
    return x1, y1, x2, y2
