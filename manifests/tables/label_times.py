"""Labels whose times a movie hasn't got: behind its end, or frame numbers where seconds are meant.

In: a labels file that was found to be sound, and when each movie ends. Out: lines that say so, naming file and row.
They are warnings: a movie that was cut has such labels too, and what lies behind its end counts nowhere.

Shapes: N rows of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from rhas.manifests.tables.csvfile import read_table
from rhas.manifests.tables.labels import COLUMNS

NEARLY_ALL = 0.8  # of the labels: of frame numbers at 15 a second, one in 15 lies before the end
FAR = 2.0  # times a movie's length: a movie that lost half of itself isn't taken for one with frame numbers


def behind_the_end(path: Path, ends_s: Mapping[str, float]) -> Iterator[str]:
    """Lines on the labels of movies in `ends_s`, by movie_id; none if all are in place."""
    table = read_table(path, COLUMNS, numbers=("start_s", "end_s"))
    table.raise_problems()
    movies = table.texts["movie_id"]
    end_of_N = np.array([ends_s.get(movie_id, np.inf) for movie_id in movies.values])[movies.codes]
    start_N, stop_N = table.numbers["start_s"].values, table.numbers["end_s"].values
    known_N = np.isfinite(end_of_N)
    behind_N, late_N = known_N & (start_N >= end_of_N), known_N & (stop_N > end_of_N)

    def place(row: int) -> str:
        times = f"{start_N[row]:g} to {stop_N[row]:g}"
        return f"row {table.row_number(row)}: {times}, and movie {movies[row]} ends at {end_of_N[row]:.1f} s"

    known, late, behind = int(known_N.sum()), int(late_N.sum()), int(behind_N.sum())
    whole = not ((start_N % 1).any() or (stop_N % 1).any())
    if late and whole and late >= NEARLY_ALL * known and np.median((stop_N / end_of_N)[late_N]) > FAR:
        yield (
            f"{path}: {late} of {known} labels end behind their movie's end, and all times are whole numbers "
            f"({place(int(late_N.argmax()))}): these look like frame numbers, and start_s and end_s are seconds"
        )
    elif behind:
        of = len(np.unique(movies.codes[behind_N]))
        yield (
            f"{path}: {behind} of {known} labels begin behind their movie's end, in {of} movie{'s' * (of > 1)}, and "
            f"count nowhere; the first is in {place(int(behind_N.argmax()))}"
        )
