"""Persons that are added to a movie whose features are there already.

In: a CSV `movie_id,person_id,reference` and, if you like, `tracks` (numbers that `rhas find` printed, divided by
spaces), `start_s,end_s,split`; and the manifest of the features folder. Out: the persons, and the manifest with them
behind those that a movie had. A person that the manifest has by now, said the same way, is one that an earlier run
began to add.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table
from rhas.manifests.tables.manifest import SPLITS, Manifest, Movie, Person, check_reference
from rhas.manifests.tables.table import first_rows

REQUIRED, OPTIONAL = ("movie_id", "person_id", "reference"), ("tracks", "start_s", "end_s", "split")
_TRACKS = "numbers of tracks as rhas find prints them, divided by spaces"


@dataclass(frozen=True)
class Added:
    """`tracks`: whose person it is; empty where their sentence is to tell."""

    person: Person
    tracks: tuple[int, ...]


def load_added(path: Path, manifest: Manifest) -> tuple[Mapping[str, list[Added]], Manifest]:
    """By movie, and the manifest with everybody. Raises InputError with all problems."""
    table = read_table(path, REQUIRED, OPTIONAL, ("start_s", "end_s"))
    cells.identifier(table, "movie_id")
    cells.identifier(table, "person_id")
    start_s, end_s = cells.span(table, required=False)
    cells.one_of(table, "split", ("", *SPLITS), f"one of {', '.join(SPLITS)}, or an empty cell")
    check_reference(table)
    table.check("tracks", lambda text: () if all(map(_is_number, text.split())) else (_TRACKS,))
    movies, persons = table.texts["movie_id"], table.texts["person_id"]
    named = table.sound("movie_id", "person_id")
    table.reject_repeats(
        "person_id",
        first_rows(movies.codes, persons.codes, where=named),
        lambda *_: "each person of a movie once",
    )
    table.raise_problems()
    known = {movie.movie_id: movie for movie in manifest.movies}
    added: dict[str, list[Added]] = {}
    problems = []
    columns = [table.texts[name] for name in ("movie_id", "person_id", "reference", "split", "tracks")]
    for row, (movie_id, person_id, reference, split, tracks) in enumerate(zip(*columns, strict=True)):
        if movie_id not in known:
            expected = "a movie of the features folder's manifest"
            problems.append(Problem(path, expected, table.row_number(row), "movie_id", movie_id))
            continue
        person = Person(movie_id, person_id, reference, float(start_s[row]), float(end_s[row]), split or None)
        person = _within(replace(person, others=("",) * len(manifest.others)), known[movie_id].persons)
        before = next((p for p in known[movie_id].persons if p.person_id.lower() == person_id.lower()), None)
        if before is not None and replace(before, others=person.others) != person:
            expected = f"an id that nobody of this movie has; {before.person_id} is {before.reference!r}"
            problems.append(Problem(path, expected, table.row_number(row), "person_id", person_id))
        added.setdefault(movie_id, []).append(Added(person, tuple(map(int, tracks.split()))))
    if problems:
        raise InputError(problems)
    return added, replace(manifest, movies=tuple(_with(movie, added) for movie in manifest.movies))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _within(person: Person, others: tuple[Person, ...]) -> Person:
    """Where no interval is given, that in which somebody was looked for: from the first to the last of the others."""
    others = tuple(other for other in others if other.person_id != person.person_id)
    start_s = person.start_s or min((other.start_s for other in others), default=0.0)
    end_s = person.end_s
    if math.isinf(end_s):
        end_s = max((other.end_s for other in others), default=end_s)
    return replace(person, start_s=start_s, end_s=end_s)


def _with(movie: Movie, added: Mapping[str, list[Added]]) -> Movie:
    """The movie with its new persons behind those that it had."""
    there = {person.person_id for person in movie.persons}
    new = [own.person for own in added.get(movie.movie_id, []) if own.person.person_id not in there]
    return replace(movie, persons=(*movie.persons, *new))
