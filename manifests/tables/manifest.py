"""The manifest: which persons in which movies, and the sentence that refers to each of them.

In: a CSV (or JSON Lines, or Parquet) with one row per referred person, columns `movie_id,video,person_id,reference`
and optionally `start_s,end_s,split`; others are kept as they are. Out: a `Manifest`, movies and persons in the order of
the file. Paths of movies are relative to the manifest's folder; movies may also
be in a store (`rhas.manifests.common.locations`). Whether a movie exists and can be decoded is left to
the extraction, which records a failure per movie instead of refusing the whole manifest.

Times are seconds of movie time; an empty `start_s` is the beginning, an empty `end_s` the end of the movie.
Persons of one movie may belong to different splits, and two movies may share one video file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rhas.manifests.common.locations import Place, place, place_faults
from rhas.manifests.common.secrets import redacted
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.table import Table, first_rows

REQUIRED_COLUMNS = ("movie_id", "video", "person_id", "reference")
OPTIONAL_COLUMNS = ("start_s", "end_s", "split")
SPLITS = ("train", "val", "test")
MAX_REFERENCE_CHARS = 2000


@dataclass(frozen=True)
class Person:
    """Someone who is referred to, and the part of the movie [start_s, end_s) in which to label them."""

    movie_id: str
    person_id: str
    reference: str
    start_s: float = 0.0
    end_s: float = math.inf
    split: str | None = None
    others: tuple[str, ...] = ()
    """What the manifest's other columns say, in the order of `Manifest.others`."""

    @property
    def key(self) -> tuple[str, str]:
        """(movie_id, person_id): a person_id alone is unique only within its movie."""
        return self.movie_id, self.person_id


@dataclass(frozen=True)
class Movie:
    """A movie (absolute path or address, not necessarily there) with the persons referred to in it."""

    movie_id: str
    video: Place
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class Manifest:
    """All movies of a data set, and the file that they were read from."""

    path: Path
    movies: tuple[Movie, ...]
    others: tuple[str, ...] = ()
    """Columns that mean nothing here."""

    @property
    def persons(self) -> tuple[Person, ...]:
        """The persons of all movies, movie by movie."""
        return tuple(person for movie in self.movies for person in movie.persons)


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` with all its problems."""
    table = read_table(path, REQUIRED_COLUMNS, OPTIONAL_COLUMNS, ("start_s", "end_s"), others="kept")
    cells.identifier(table, "movie_id")
    cells.identifier(table, "person_id")
    start_s, end_s = cells.span(table, required=False)
    cells.one_of(table, "split", ("", *SPLITS), f"one of {', '.join(SPLITS)}, or an empty cell")
    check_reference(table)
    cells.name(table, "video")
    table.check("video", place_faults)
    _check_ids(table)
    folder = path.absolute().parent
    videos: list[Place] = [
        folder if place_faults(video) else place(video, folder) for video in table.texts["video"].values
    ]
    _check_videos(table, videos)
    table.raise_problems()

    others = tuple(name for name in table.header if name not in REQUIRED_COLUMNS + OPTIONAL_COLUMNS)
    columns = [table.texts[name] for name in ("movie_id", "person_id", "reference", "split", *others)]
    spans = zip(start_s.tolist(), end_s.tolist(), strict=True)
    persons: dict[str, list[Person]] = {}
    for (movie_id, person_id, reference, split, *own), span in zip(
        zip(*columns, strict=True), spans, strict=True
    ):
        person = Person(movie_id, person_id, reference, *span, split or None, tuple(own))
        persons.setdefault(movie_id, []).append(person)
    video = {name: videos[code] for name, code in zip(columns[0], table.texts["video"].codes, strict=True)}
    movies = tuple(Movie(name, video[name], tuple(their)) for name, their in persons.items())
    return Manifest(path, movies, others)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest atomically, videos as absolute paths; what is loaded from it is the same manifest.

    Only of addresses with credentials or a query not all is written: that is no file's business to keep.
    """
    rows = (
        (
            person.movie_id,
            movie.video.absolute(),
            person.person_id,
            person.reference,
            person.start_s,
            "" if math.isinf(person.end_s) else person.end_s,
            person.split or "",
            *person.others,
        )
        for movie in manifest.movies
        for person in movie.persons
    )
    write_rows(path, REQUIRED_COLUMNS + OPTIONAL_COLUMNS + manifest.others, rows)


def check_reference(table: Table) -> None:
    """The sentences in column `reference`."""
    cells.text(table, "reference", MAX_REFERENCE_CHARS)


def _check_ids(table: Table) -> None:
    named = table.sound("movie_id", "person_id")
    movies, persons = table.texts["movie_id"], table.texts["person_id"]
    cells.reject_case_twins(table, named, "movie_id")
    cells.reject_case_twins(table, named, "person_id", movies.codes)
    table.reject_repeats(
        "person_id",
        first_rows(movies.codes, persons.codes, where=named),
        lambda row, first: f"each person of {movies[row]!r} once; row {first} has them already",
    )


def _check_videos(table: Table, videos: Sequence[Place]) -> None:
    """Rejects videos that are others than in the movie's first row; `videos` are the paths that the texts mean."""
    movies, texts = table.texts["movie_id"], table.texts["video"]
    places: dict[Place, int] = {}
    place = np.array([places.setdefault(path, len(places)) for path in videos], int)[texts.codes]
    first = first_rows(movies.codes, where=table.sound("movie_id", "video"))
    table.reject(
        "video",
        place != place[first],
        lambda row: (
            f"the video that row {table.row_number(first[row])} gives for this movie, {redacted(texts[first[row]])!r}"
        ),
    )
