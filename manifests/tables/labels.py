"""Labels: what each referred person does, and when.

In: a CSV `movie_id,person_id,action,start_s,end_s`, one row per interval. Out: `Labels`, the intervals of
each person sorted by start. Intervals are half-open, [start_s, end_s), in seconds of movie time; a person may
do several things at once. The action `N/A` marks an interval in which the person is absent, and during which
they therefore do nothing else. Sampling the intervals at frames is left to `train`.

Shapes: N rows of the file, I intervals of a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import did_you_mean
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.manifest import Manifest
from rhas.manifests.tables.table import Table, first_of_neighbours, first_rows, runs
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

COLUMNS = ("movie_id", "person_id", "action", "start_s", "end_s")
PersonKey = tuple[str, str]  # (movie_id, person_id)


@dataclass(frozen=True, slots=True)
class Interval:
    """An action, or `N/A` for absence, during [start_s, end_s)."""

    action: str
    start_s: float
    end_s: float

    @property
    def place(self) -> tuple[float, float, str]:
        """What intervals are sorted by: start, then end, then action."""
        return self.start_s, self.end_s, self.action


@dataclass(frozen=True, eq=False, slots=True)
class Intervals(Sequence[Interval]):
    """The intervals of a person in columns [I]; equal to any sequence of the same intervals.

    There may be millions, so an `Interval` is made only when it is asked for.
    """

    actions: Sequence[str]  # shared by all persons
    action: NDArray[np.int32]  # [I] places in `actions`
    start_s: NDArray[np.float64]  # [I]
    end_s: NDArray[np.float64]  # [I]

    def __len__(self) -> int:
        return len(self.action)

    def __getitem__(self, at: Any) -> Any:
        return tuple(self)[at]

    def __iter__(self) -> Iterator[Interval]:
        names = map(self.actions.__getitem__, self.action.tolist())
        return map(Interval, names, self.start_s.tolist(), self.end_s.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)


@dataclass(frozen=True)
class Labels:
    """Intervals of each labelled person, and the file that they were read from."""

    path: Path
    intervals: Mapping[PersonKey, Sequence[Interval]]

    @property
    def count(self) -> int:
        """How many intervals there are, of all persons."""
        return sum(map(len, self.intervals.values()))


def load_labels(
    path: Path, vocabulary: Vocabulary | None, manifest: Manifest | None, predicted: bool = False
) -> Labels:
    """Read and check labels; raises `InputError` with all their problems.

    Without a vocabulary any action passes, without a manifest any person. `predicted`: the file may also be one of
    `rhas predict`, with a score in each row, which is not read.
    """
    table = read_table(path, COLUMNS, ("score",) if predicted else (), numbers=("start_s", "end_s"))
    cells.identifier(table, "movie_id")
    cells.identifier(table, "person_id")
    cells.name(table, "action")
    start_s, end_s = cells.span(table, required=True)
    movies, persons, actions = (table.texts[column] for column in COLUMNS[:3])
    person = first_rows(movies.codes, persons.codes)  # [N] the first row of the person whom a row is about
    alphabetical = np.argsort(sorted(range(len(actions.values)), key=actions.values.__getitem__))
    place = alphabetical[actions.codes]
    order = np.lexsort((np.signbit(start_s), place, end_s, start_s, person))
    # Times as numbers, so that 1 and 1.0 count as the same; not so -0 and 0, which the sign keeps apart.
    sound = order[table.sound(*COLUMNS)[order]]
    first = first_of_neighbours(sound, person, place, start_s.view(np.int64), end_s)
    table.reject_repeats("action", first, lambda _, first: f"each interval once; row {first} says the same")
    if vocabulary is not None:
        _check_actions(table, vocabulary)
    if manifest is not None:
        _check_persons(table, person, manifest)
    _check_absence(table, order[table.sound(*COLUMNS)[order]], person, start_s, end_s)
    table.raise_problems()

    action, start_s, end_s, person = actions.codes[order], start_s[order], end_s[order], person[order]
    intervals = {}
    for own in runs(person):
        key = movies[person[own.start]], persons[person[own.start]]
        intervals[key] = Intervals(actions.values, action[own], start_s[own], end_s[own])
    return Labels(path, intervals)


def write_labels(labels: Labels, path: Path) -> None:
    """Write labels atomically; what is loaded from the file are the same labels."""
    rows = (
        (*key, interval.action, interval.start_s, interval.end_s)
        for key, intervals in labels.intervals.items()
        for interval in intervals
    )
    write_rows(path, COLUMNS, rows)


def _check_actions(table: Table, vocabulary: Vocabulary) -> None:
    actions = table.texts["action"]
    known = (*vocabulary.actions, ABSENT)
    unknown = np.array([action != ABSENT and action not in vocabulary for action in actions.values], bool)
    table.reject(
        "action",
        unknown[actions.codes] & table.sound("action"),
        lambda row: f"one of the {len(vocabulary)} actions, or {ABSENT}{did_you_mean(actions[row], known)}",
    )


def _check_persons(table: Table, person: NDArray[np.int64], manifest: Manifest) -> None:
    movies, persons = table.texts["movie_id"], table.texts["person_id"]
    of_movie = {movie.movie_id: [own.person_id for own in movie.persons] for movie in manifest.movies}
    known = {person.key for person in manifest.persons}
    sound = table.sound("movie_id", "person_id")
    movie_known = np.array([movie_id in of_movie for movie_id in movies.values], bool)[movies.codes]
    table.reject(
        "movie_id",
        sound & ~movie_known,
        lambda row: f"a movie of {manifest.path}{did_you_mean(movies[row], tuple(of_movie))}",
    )
    unknown = sound & movie_known
    firsts, place = np.unique(person[unknown], return_inverse=True)
    unknown[unknown] = np.array([(movies[row], persons[row]) not in known for row in firsts.tolist()], bool)[
        place
    ]

    def expected(row: int) -> str:
        near = did_you_mean(persons[row], of_movie[movies[row]])
        return f"a person of movie {movies[row]!r} in {manifest.path}{near}"

    table.reject("person_id", unknown, expected)


def _check_absence(
    table: Table,
    order: NDArray[np.int64],
    person: NDArray[np.int64],
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
) -> None:
    """Reject intervals that begin while the same person is absent, or absences that begin while they act.

    Takes sound rows in `order` of persons and starts, and compares each with the interval of the other kind that has
    ended last so far: if that one does not reach into it, none does.
    """
    actions = table.texts["action"]
    absent = np.array([action == ABSENT for action in actions.values], bool)[actions.codes[order]]
    whose, start, end = person[order], start_s[order], end_s[order]
    # Ranks of ends among those of the same person; of two that end at once, the earlier one has ended last.
    by_end = np.lexsort((-np.arange(len(order)), end, whose))
    rank = np.argsort(by_end)
    clash_with = np.full(len(table), -1)  # [N] row
    for other in (absent, ~absent):
        latest = np.maximum.accumulate(np.where(other, rank, -1))
        known = by_end[latest]
        clash = ~other & (latest >= 0) & (whose[known] == whose) & (start < end[known])
        clash_with[order[clash]] = order[known[clash]]

    def expected(row: int) -> str:
        other = clash_with[row]
        which = f"{actions[other]!r} in row {table.row_number(other)}, which ends at {end_s[other]}"
        return f"no overlap of {ABSENT} with an action, here with {which}"

    table.reject("start_s", clash_with >= 0, expected)
