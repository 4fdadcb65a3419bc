"""The manifest: which persons in which films, and the sentence that refers to each of them.

In: a CSV with one row per referred person, columns `movie_id,video,person_id,reference` and optionally
`start_s,end_s,split`. Out: a `Manifest`, films and persons in the order of the file. Paths of films are
relative to the manifest's folder. Whether a film exists and can be decoded is left to the extraction, which
records a failure per film instead of refusing the whole manifest.

Times are seconds of film time; an empty `start_s` is the beginning, an empty `end_s` the end of the film.
Persons of one film may belong to different splits, and two films may share one video file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.errors import Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import Row, raise_problems, rows_with_header, write_rows

REQUIRED_COLUMNS = ("movie_id", "video", "person_id", "reference")
OPTIONAL_COLUMNS = ("start_s", "end_s", "split")
SPLITS = ("train", "val", "test")
MAX_REFERENCE_CHARS = 2000


@dataclass(frozen=True)
class Person:
    """Someone who is referred to, and the part of the film [start_s, end_s) in which to label them."""

    movie_id: str
    person_id: str
    reference: str
    start_s: float = 0.0
    end_s: float = math.inf
    split: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(movie_id, person_id): a person_id alone is unique only within its film."""
        return self.movie_id, self.person_id


@dataclass(frozen=True)
class Movie:
    """A film (absolute path, not necessarily there) with the persons referred to in it."""

    movie_id: str
    video: Path
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class Manifest:
    """All films of a data set, and the file that they were read from."""

    path: Path
    movies: tuple[Movie, ...]

    @property
    def persons(self) -> tuple[Person, ...]:
        """The persons of all films, film by film."""
        return tuple(person for movie in self.movies for person in movie.persons)


@dataclass(frozen=True)
class _Entry:
    row: Row
    person: Person
    video: Path


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` with all its problems."""
    problems: list[Problem] = []
    folder = path.absolute().parent
    entries = [
        _entry(row, folder) for row in rows_with_header(path, problems, REQUIRED_COLUMNS, OPTIONAL_COLUMNS)
    ]
    _check_ids(entries)
    _check_videos(entries)
    raise_problems(problems)
    return Manifest(path, _movies(entries))


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest atomically, videos as absolute paths; what is loaded from it is the same manifest."""
    rows = (
        (
            person.movie_id,
            movie.video.absolute(),
            person.person_id,
            person.reference,
            person.start_s,
            "" if math.isinf(person.end_s) else person.end_s,
            person.split or "",
        )
        for movie in manifest.movies
        for person in movie.persons
    )
    write_rows(path, REQUIRED_COLUMNS + OPTIONAL_COLUMNS, rows)


def reference_text(row: Row) -> str:
    """The sentence in column `reference`."""
    return cells.text(row, "reference", MAX_REFERENCE_CHARS)


def _entry(row: Row, folder: Path) -> _Entry:
    movie_id, person_id = cells.identifier(row, "movie_id"), cells.identifier(row, "person_id")
    start_s, end_s = cells.span(row, required=False)
    split = row["split"] or None
    if split is not None and split not in SPLITS:
        row.reject("split", f"one of {', '.join(SPLITS)}, or an empty cell")
    person = Person(movie_id, person_id, reference_text(row), start_s, end_s, split)
    return _Entry(row, person, folder / cells.name(row, "video"))


def _check_ids(entries: Iterable[_Entry]) -> None:
    named = [entry for entry in entries if entry.row.sound("movie_id", "person_id")]
    cells.reject_case_twins(((e.row, "", e.person.movie_id) for e in named), "movie_id")
    cells.reject_case_twins(((e.row, *e.person.key) for e in named), "person_id")
    first_rows: dict[tuple[str, str], int] = {}
    for entry in named:
        first = first_rows.setdefault(entry.person.key, entry.row.number)
        if first != entry.row.number:
            movie_id = entry.person.movie_id
            entry.row.reject("person_id", f"each person of {movie_id!r} once; row {first} has them already")


def _check_videos(entries: Iterable[_Entry]) -> None:
    first: dict[str, _Entry] = {}
    for entry in entries:
        if not entry.row.sound("movie_id", "video"):
            continue
        known = first.setdefault(entry.person.movie_id, entry)
        if entry.video != known.video:
            expected = f"the video that row {known.row.number} gives for this film, {known.row['video']!r}"
            entry.row.reject("video", expected)


def _movies(entries: Iterable[_Entry]) -> tuple[Movie, ...]:
    videos: dict[str, Path] = {}
    persons: dict[str, list[Person]] = {}
    for entry in entries:
        videos[entry.person.movie_id] = entry.video
        persons.setdefault(entry.person.movie_id, []).append(entry.person)
    return tuple(Movie(movie_id, video, tuple(persons[movie_id])) for movie_id, video in videos.items())
