"""What a run says of persons: computed now, or as `rhas predict` left it.

In: a run and features, or a folder with segments.csv and scores/. Out: one person at a time, since a movie may last for
hours.

Shapes: T samples from the first in which the person is promised, C actions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.tables.labels import Interval, load_labels
from rhas.train.runs.checkpoint import read_tensors
from rhas.train.runs.run import open_run
from rhas.train.scoring.prediction import predicted_series, segments_of

PersonKey = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Of one person."""

    key: PersonKey
    time_s: NDArray[np.float64]  # [T]
    scores: NDArray[np.float32]  # [T, C]
    promised: NDArray[np.bool_]  # [T]
    segments: Sequence[Interval]
    means: Sequence[float | None]  # of each segment
    actions: tuple[str, ...]
    tau: float | None


def of_run(
    run: Path, features: Path, split: str | None, movies: Collection[str] | None, device: str | None
) -> Iterator[Predicted]:
    """Everyone in some movies (all without), as the run reads them now. Raises InputError."""
    opened = open_run(run, device)
    tau, actions = opened.validation.tau, opened.vocabulary.actions
    for series in predicted_series(opened, features, split, movies):
        rows = list(segments_of(series, tau, actions))
        clip = series.clip
        yield Predicted(
            (clip.movie_id, clip.person_id), clip.time_s, series.scores, series.promised,
            [Interval(row.action, row.start_s, row.end_s) for row in rows], [row.score for row in rows], actions, tau,
        )  # fmt: skip


def of_folder(folder: Path, features: FeaturesReader, movies: Collection[str]) -> Iterator[Predicted]:
    """Those whose scores are in a folder that `rhas predict` wrote. Raises InputError."""
    segments = load_labels(folder / "segments.csv", None, None, predicted=True).intervals
    found = 0
    for movie_id in movies:
        with features.shard(movie_id) as shard:
            persons = shard.person_ids
        for person_id in persons:
            path = folder / "scores" / file_name(movie_id) / f"{file_name(person_id)}.safetensors"
            if not path.is_file():
                continue
            found += 1
            tensors, record = read_tensors(path)
            try:
                scores, time_s, promised = (
                    tensors[name].numpy() for name in ("scores", "time_s", "promised")
                )
                actions, tau = tuple(map(str, record["actions"])), record["tau"]
            except KeyError as error:
                raise InputError(Problem(path, f"scores as `rhas predict` writes them ({error})")) from error
            if scores.shape != (len(time_s), len(actions)) or promised.shape != time_s.shape:
                raise InputError(Problem(path, "scores [samples, actions]", value=scores.shape))
            if not ((scores >= 0) & (scores <= 1)).all():
                raise InputError(Problem(path, "scores from 0 to 1"))
            own = segments.get((movie_id, person_id), ())
            place = {action: c for c, action in enumerate(actions)}
            means = [_mean(segment, scores, time_s, place) for segment in own]
            yield Predicted((movie_id, person_id), time_s, scores, promised, own, means, actions, tau)
    if not found:
        raise InputError(Problem(folder / "scores", "scores of somebody in these movies"))


def _mean(
    interval: Interval, scores: NDArray[np.float32], time_s: NDArray[np.float64], place: dict[str, int]
) -> float | None:
    """Of a segment's samples; none of N/A, nor of one without samples."""
    start, stop = np.searchsorted(time_s, (interval.start_s, interval.end_s)).tolist()
    if interval.action not in place or start == stop:
        return None
    return float(scores[start:stop, place[interval.action]].mean())
