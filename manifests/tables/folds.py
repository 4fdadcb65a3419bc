"""Folds of a data set: which films are learned from and which are tested on, in each round of cross-validation.

In: splits.csv of a features folder, with the columns fold, movie_id and split (train or test); folds are numbered
from 1. Out: `Folds`. A film may be in any number of folds, once in each. Which training films validate is drawn
by `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rhas.manifests.common.errors import Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import raise_problems, rows_with_header, write_rows

COLUMNS = ("fold", "movie_id", "split")
SIDES = ("train", "test")

# fold -> movie_id -> train or test
Folds = dict[int, dict[str, str]]


def load_folds(path: Path) -> Folds:
    """Raises `InputError` with all problems of the file."""
    problems: list[Problem] = []
    folds: Folds = {}
    for row in rows_with_header(path, problems, required=COLUMNS):
        fold, movie_id = cells.whole_number(row, "fold", 1), cells.identifier(row, "movie_id")
        if row["split"] not in SIDES:
            row.reject("split", " or ".join(SIDES))
        if row.sound(*COLUMNS):
            films = folds.setdefault(fold, {})
            if movie_id in films:
                row.reject("movie_id", f"each film once in fold {fold}")
            films[movie_id] = row["split"]
    raise_problems(problems)
    return folds


def write_folds(folds: Mapping[int, Mapping[str, str]], path: Path) -> None:
    """The inverse of `load_folds`, sorted by fold and film."""
    rows = [(fold, *row) for fold, films in sorted(folds.items()) for row in sorted(films.items())]
    write_rows(path, COLUMNS, rows)
