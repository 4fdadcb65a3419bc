"""Boxes that are known already: of a tracker, of annotators, of a made world.

In: a CSV `movie_id,person_id,time_s,x1,y1,x2,y2`, a row for each person and moment at which their box is known; corners
are shares of the frame's width and height, times are seconds of movie time. Two more columns may be there, of a
tracker: `track_id`, a whole number, and `score`, from 0 to 1. Out: a `Tracklet` for each person, with a box for every
time between two rows that are near enough and of one track. The file may hold movies and persons that a manifest
doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table
from rhas.manifests.tables.table import Table, first_of_neighbours, first_rows, runs

COLUMNS = ("movie_id", "person_id", "time_s", "x1", "y1", "x2", "y2")
OPTIONAL = ("track_id", "score")
NO_TRACK = -1
MAX_GAP_S = 1.05  # AVA's annotators gave a box a second; a longer gap is an absence
_SAME_S = 1e-6  # times that differ by less are the same


@dataclass(frozen=True)
class Known:
    """At some times [T]: boxes [T, 4] and scores [T], NaN without one, tracks [T], and whether there is a row of just
    that time [T]."""

    box: NDArray[np.float32]
    score: NDArray[np.float32]
    track: NDArray[np.int32]
    exact: NDArray[np.bool_]


@dataclass(frozen=True)
class Tracklet:
    """Where a person is: times [N] in seconds, ascending, boxes [N, 4] as x1 y1 x2 y2, scores [N] and tracks [N]."""

    time_s: NDArray[np.float64]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    track: NDArray[np.int32]

    def at(self, time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Boxes [T, 4] at some times: a row's own, or between two rows in proportion; NaN where nothing is known."""
        return self.known(time_s).box

    def known(self, time_s: NDArray[np.float64]) -> Known:
        """All that is known of some times."""
        after = np.searchsorted(self.time_s, time_s - _SAME_S)
        last = len(self.time_s) - 1
        right, left = np.minimum(after, last), np.maximum(after - 1, 0)
        exact = np.abs(self.time_s[right] - time_s) <= _SAME_S
        gap_s = self.time_s[right] - self.time_s[left]
        between = (
            (after > 0) & (after <= last) & (gap_s <= MAX_GAP_S) & (self.track[left] == self.track[right])
        )
        share = np.where(exact, 1.0, (time_s - self.time_s[left]) / np.where(gap_s > 0, gap_s, 1.0))
        there = exact | between
        box = (1 - share[:, None]) * self.box[left] + share[:, None] * self.box[right]
        score = (1 - share) * self.score[left] + share * self.score[right]
        return Known(
            np.where(there[:, None], box, np.nan).astype(np.float32),
            np.where(there, score, np.nan).astype(np.float32),
            np.where(there, self.track[right], NO_TRACK).astype(np.int32),
            exact,
        )


def load_boxes(path: Path) -> Mapping[tuple[str, str], Tracklet]:
    """Tracklets by (movie_id, person_id); raises `InputError` with all problems of the file."""
    table = read_table(path, COLUMNS, OPTIONAL, numbers=(*COLUMNS[2:], "score"))
    cells.identifier(table, "movie_id")
    cells.identifier(table, "person_id")
    time_s = cells.number(table, "time_s", "a finite time in seconds, 0 or more", 0.0, math.inf)
    movies, persons = table.texts["movie_id"], table.texts["person_id"]
    person = first_rows(movies.codes, persons.codes)
    order = np.lexsort((time_s, person))
    first = first_of_neighbours(order[table.sound("time_s")[order]], person, time_s)
    table.reject_repeats("time_s", first, lambda *_: "one box for each moment of a person")
    corners = _corners(table)
    score = cells.number(table, "score", "a score from 0 to 1", 0.0, 1.0, blank=1.0)
    track = cells.whole_number(table, "track_id", 0, blank=NO_TRACK)
    table.reject("track_id", track > np.iinfo(np.int32).max, "a whole number below 2³¹")
    table.raise_problems()

    time_s, person = time_s[order], person[order]
    box = np.stack([corner.astype(np.float32)[order] for corner in corners], axis=1)
    scores, tracks = score.astype(np.float32)[order], track.astype(np.int32)[order]
    return {
        (movies[person[own.start]], persons[person[own.start]]): Tracklet(
            time_s[own], box[own], scores[own], tracks[own]
        )
        for own in runs(person)
    }


def _corners(table: Table) -> list[NDArray[np.float64]]:
    """x1, y1, x2, y2, each [N]."""
    share = "a share of the frame, from 0 to 1"
    x1, y1, x2, y2 = corners = [cells.number(table, name, share, 0.0, 1.0) for name in COLUMNS[3:]]
    for low, high, column in ((x1, x2, "x2"), (y1, y2, "y2")):
        wrong = table.sound(*COLUMNS[3:]) & (high <= low)
        table.reject(column, wrong, partial(_more_than, f"{column[0]}1", low))
    return corners


def _more_than(name: str, low: NDArray[np.float64], row: int) -> str:
    return f"more than {name}, {low[row]:g}"
