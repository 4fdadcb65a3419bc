"""The boxes of AVA-style annotations, in the form of `rhas.manifests.tables.boxes`.

In: the table of annotations, checked, with the key frames' times in the movie; and whose boxes are wanted. Out: rows
of boxes.csv, by person and time. AVA repeats a box for each action. A box without an area, and key frames at which
somebody has two different boxes, say nothing of where they are: these are counted and left out, not chosen among.

Shapes: N rows of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.tables.labels import PersonKey
from rhas.manifests.tables.table import Table, first_rows

CORNERS = ("x1", "y1", "x2", "y2")


class Boxes(NamedTuple):
    """Rows of boxes.csv, and how many key frames gave none."""

    rows: tuple[tuple[str, str, float, float, float, float, float], ...]
    without_area: int = 0
    contradictory: int = 0


def boxes_of(table: Table, times_ms: NDArray[np.int64], movie_ids: Mapping[PersonKey, str]) -> Boxes:
    """`movie_ids`: of the persons (video_id, person_id) that are wanted."""
    videos, persons = table.texts["video_id"], table.texts["person_id"]
    corners_N4 = np.stack([table.numbers[name].values for name in CORNERS], axis=1)
    first = first_rows(videos.codes, persons.codes, times_ms)
    contradicted = np.unique(first[(corners_N4 != corners_N4[first]).any(axis=1)])
    x1, y1, x2, y2 = corners_N4.T
    moments = np.unique(first)
    wanted = moments[[(videos[row], persons[row]) in movie_ids for row in moments.tolist()]]
    sure = wanted[~np.isin(wanted, contradicted)]
    boxed = sure[(x2 > x1)[sure] & (y2 > y1)[sure]]
    rows = [
        (
            movie_ids[videos[row], persons[row]],
            persons[row],
            int(times_ms[row]) / 1000,
            *corners_N4[row].tolist(),
        )
        for row in boxed.tolist()
    ]
    return Boxes(tuple(sorted(rows)), len(sure) - len(boxed), len(wanted) - len(sure))
