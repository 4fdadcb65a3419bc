"""Folds of a data set: which films are learned from and which are tested on, in each round of cross-validation.

In: splits.csv of a features folder, with the columns fold, movie_id and split (train or test); folds are numbered
from 1. Out: `Folds`. A film may be in any number of folds, once in each. Which training films validate is drawn
by `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manifests.csvfile import raise_problems, rows_with_header, write_rows
from manifests.errors import Problem

COLUMNS = ("fold", "movie_id", "split")
SIDES = ("train", "test")

# fold -> movie_id -> train or test
Folds = dict[int, dict[str, str]]


def load_folds(path: Path) -> Folds:
    """Raises `InputError` with all problems of the file."""
    problems: list[Problem] = []
    folds: Folds = {}
    for row in rows_with_header(path, problems, required=COLUMNS):
        if not (row["fold"].isascii() and row["fold"].isdecimal() and int(row["fold"]) >= 1):
            row.reject("fold", "a whole number from 1")
        if row["split"] not in SIDES:
            row.reject("split", " or ".join(SIDES))
        if not row["movie_id"]:
            row.reject("movie_id", "the id of a film")
        if row.sound(*COLUMNS):
            films = folds.setdefault(int(row["fold"]), {})
            if row["movie_id"] in films:
                row.reject("movie_id", f"each film once in fold {row['fold']}")
            films[row["movie_id"]] = row["split"]
    raise_problems(problems)
    return folds


def write_folds(folds: Mapping[int, Mapping[str, str]], path: Path) -> None:
    """The inverse of `load_folds`, sorted by fold and film."""
    rows = [(fold, *row) for fold, films in sorted(folds.items()) for row in sorted(films.items())]
    write_rows(path, COLUMNS, rows)
