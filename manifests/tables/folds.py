"""Folds of a data set: which movies are learned from and which are tested on, in each round of cross-validation.

In: splits.csv of a features folder, with the columns fold, movie_id and split (train or test); folds are numbered
from 1. Out: `Folds`. A movie may be in any number of folds, once in each. Which training movies validate is drawn
by `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.table import first_rows

COLUMNS = ("fold", "movie_id", "split")
SIDES = ("train", "test")

# fold -> movie_id -> train or test
Folds = dict[int, dict[str, str]]


def load_folds(path: Path) -> Folds:
    """Raises `InputError` with all problems of the file."""
    table = read_table(path, COLUMNS)
    fold = cells.whole_number(table, "fold", 1)
    cells.identifier(table, "movie_id")
    cells.one_of(table, "split", SIDES, " or ".join(SIDES))
    movies, sides = table.texts["movie_id"], table.texts["split"]
    table.reject_repeats(
        "movie_id",
        first_rows(fold, movies.codes, where=table.sound(*COLUMNS)),
        lambda row, _: f"each movie once in fold {fold[row]}",
    )
    table.raise_problems()
    folds: Folds = {}
    for row, number in enumerate(fold.tolist()):
        folds.setdefault(number, {})[movies[row]] = sides[row]
    return folds


def write_folds(folds: Mapping[int, Mapping[str, str]], path: Path) -> None:
    """The inverse of `load_folds`, sorted by fold and movie."""
    rows = [(fold, *row) for fold, movies in sorted(folds.items()) for row in sorted(movies.items())]
    write_rows(path, COLUMNS, rows)
