"""Segments of each person and class at an overlap of 50 %, of which macro F1@50 is made: for who draws movies again.

In: everyone of a split, as they were read. Out: persons-SPLIT.csv, whose rows are

    movie,movie_id,person_id,action,true,predicted,hits

`movie` is one for all movie_ids that show the same movie; `hits` are the true segments that were found. F1 of an
action is 2 · hits / (true + predicted), each summed over persons; macro F1@50 is its mean over the actions with
true > 0. A row for each action of a person that is true or predicted anywhere; a person of none has one row without
an action.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.metrics import label_sets
from rhas.train.metrics.segments import OVERLAPS, SegmentCounts
from rhas.train.scoring.inference import Series

COLUMNS = ("movie", "movie_id", "person_id", "action", "true", "predicted", "hits")
COUNTS = COLUMNS[4:]


def persons_csv(run: Path, split: str) -> Path:
    """Where a run has its persons of a split."""
    return run / f"persons-{split}.csv"


def write_persons(path: Path, persons: Sequence[Series], vocabulary: Vocabulary, tau: float | None) -> None:
    """Writes the file, whole or not at all."""
    write_rows(path, COLUMNS, (row for series in persons for row in _rows(series, vocabulary, tau)))


def read_person_counts(path: Path) -> pd.DataFrame:
    """The rows of such a file. Raises InputError, naming it, for another one."""
    texts = dict.fromkeys(COLUMNS[:4], str)
    try:
        rows = pd.read_csv(path, dtype={**texts, **dict.fromkeys(COUNTS, int)}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(path, f"the persons of a split, as `rhas eval` writes them ({error})")
        ) from error
    if tuple(rows.columns) != COLUMNS:
        got = ",".join(map(str, rows.columns))
        raise InputError(Problem(path, f"the columns {','.join(COLUMNS)}", value=got))
    impossible = (rows["hits"] < 0) | (rows["hits"] > rows[["true", "predicted"]].min(axis=1))
    if impossible.any():
        row = int(impossible.to_numpy().argmax())
        expected = "no more than there are true and predicted segments"
        raise InputError(Problem(path, expected, row=row + 2, column="hits", value=int(rows["hits"][row])))
    return rows


def _rows(series: Series, vocabulary: Vocabulary, tau: float | None) -> Iterator[tuple[object, ...]]:
    frames = series.video(vocabulary).present()
    counts = SegmentCounts.of(label_sets(frames.scores_NC, tau), frames.labels_NC, frames.breaks_N)
    hits_C = counts.hits_KC[OVERLAPS.index(50)]
    who = (series.clip.movie, series.clip.movie_id, series.clip.person_id)
    some = [
        (*who, action, int(true), int(predicted), int(hits))
        for action, true, predicted, hits in zip(
            vocabulary.actions, counts.truth_C, counts.predicted_C, hits_C, strict=True
        )
        if true or predicted
    ]
    yield from some or [(*who, "", 0, 0, 0)]
