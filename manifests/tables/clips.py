"""Clips: who is referred to at a moment of a movie, by which sentence, where they are and what they do then.

In: a CSV with a row for each clip, columns `movie_id,video,person_id,time_s,reference,split,x1,y1,x2,y2,actions`, and
the vocabulary of the actions. Out: `Clip`s in the order of the file. A sentence is of one moment: the same person may
be called otherwise a second later. Actions stand between bars: `sit|talk to (e.g., self, a person)`. Paths of
movies are relative to the file's folder; corners are shares of the frame; times are seconds of movie time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from rhas.manifests.common.locations import path_faults
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.manifest import SPLITS, check_reference
from rhas.manifests.tables.table import Table, first_rows
from rhas.manifests.tables.vocabulary import Vocabulary

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("movie_id", "video", "person_id", "time_s", "reference", "split", *CORNERS, "actions")
BAR = "|"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Clip:
    """One person at one moment."""

    movie_id: str
    video: Path
    person_id: str
    time_s: float
    reference: str
    split: str
    box: Box
    actions: tuple[str, ...]

    @property
    def name(self) -> str:
        """movie/person/time, for messages."""
        return f"{self.movie_id}/{self.person_id}/{self.time_s:g}"


def load_clips(path: Path, vocabulary: Vocabulary) -> tuple[Clip, ...]:
    """Raises `InputError` with all problems of the file."""
    table = read_table(path, COLUMNS, numbers=("time_s", *CORNERS))
    for column in ("movie_id", "person_id"):
        cells.identifier(table, column)
    cells.name(table, "video")
    table.check("video", path_faults)
    cells.one_of(table, "split", SPLITS, f"one of {', '.join(SPLITS)}")
    check_reference(table)
    time_s = cells.number(table, "time_s", "a finite time in seconds, 0 or more", 0.0, math.inf)
    corners = [cells.number(table, name, "a share of the frame, from 0 to 1", 0.0, 1.0) for name in CORNERS]
    for low, high, column in ((0, 2, "x2"), (1, 3, "y2")):
        wrong = table.sound(CORNERS[low], CORNERS[high]) & (corners[high] <= corners[low])
        table.reject(column, wrong, partial(lambda values, row: f"more than {values[row]:g}", corners[low]))
    table.check("actions", partial(_action_faults, vocabulary))
    _check_apart(table, time_s)
    table.raise_problems()
    folder = path.absolute().parent
    texts = [
        table.texts[name] for name in ("movie_id", "video", "person_id", "reference", "split", "actions")
    ]
    numbers = np.stack([time_s, *corners], 1).tolist()
    clips = []
    for (movie_id, video, person_id, reference, split, actions), (at, *box) in zip(
        zip(*texts, strict=True), numbers, strict=True
    ):
        x1, y1, x2, y2 = box
        doing = tuple(actions.split(BAR))
        clips.append(Clip(movie_id, folder / video, person_id, at, reference, split, (x1, y1, x2, y2), doing))
    return tuple(clips)


def write_clips(clips: Iterable[Clip], path: Path) -> None:
    """Atomically, videos as absolute paths; what is loaded from it are the same clips."""
    write_rows(
        path, COLUMNS,
        (
            (c.movie_id, c.video.absolute(), c.person_id, c.time_s, c.reference, c.split, *c.box, BAR.join(c.actions))
            for c in clips
        ),
    )  # fmt: skip


def _action_faults(vocabulary: Vocabulary, text: str) -> list[str]:
    names = text.split(BAR)
    unknown = [name for name in names if name not in vocabulary]
    if unknown:
        return [f"actions of actions.csv with | between; {unknown[0]!r} is none"]
    return [] if len(set(names)) == len(names) else ["each action once"]


def _check_apart(table: Table, time_s: np.ndarray) -> None:
    movies, persons, videos = (table.texts[name] for name in ("movie_id", "person_id", "video"))
    sound = table.sound("movie_id", "person_id", "time_s")
    table.reject_repeats(
        "time_s",
        first_rows(movies.codes, persons.codes, time_s, where=sound),
        lambda row, first: (
            f"each moment of {persons[row]!r} in {movies[row]!r} once; row {first} has it already"
        ),
    )
    first = first_rows(movies.codes, where=table.sound("movie_id", "video"))
    table.reject(
        "video",
        videos.codes != videos.codes[first],
        lambda row: (
            f"the video that row {table.row_number(first[row])} gives for this movie, {videos[first[row]]!r}"
        ),
    )
