"""Who is in a movie, when, and where their boxes are: from a shard, or from a manifest with a table of boxes.

In: an open shard, or a movie and tracklets. Out: a `MovieSource`; arrays are [T] over the samples of the movie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.reader import end_s as end_of
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.boxes import Tracklet
from rhas.manifests.tables.manifest import Movie

FPS = 15.0  # of a movie without features


@dataclass(frozen=True, eq=False)
class PersonSource:
    """One referred person. `status` and `sure` are None where boxes are from a table, which doesn't say."""

    person_id: str
    reference: str
    split: str | None
    promised: NDArray[np.bool_]  # [T]
    box: NDArray[np.float32]  # [T, 4]
    status: NDArray[np.uint8] | None
    sure: NDArray[np.float32] | None

    def span(self, time_s: NDArray[np.float64], end_s: float) -> tuple[float, float] | None:
        """From when to when they are promised; None: never."""
        at = np.flatnonzero(self.promised)
        if not len(at):
            return None
        stop = int(at[-1]) + 1
        return float(time_s[at[0]]), float(time_s[stop]) if stop < len(time_s) else end_s


@dataclass(frozen=True, eq=False)
class MovieSource:
    """A movie's samples and persons."""

    movie_id: str
    time_s: NDArray[np.float64]
    end_s: float
    persons: tuple[PersonSource, ...]


def of_shard(shard: Shard) -> MovieSource:
    """Raises InputError for a damaged one."""
    with reading(shard.path, "boxes and statuses"):
        time_s = shard.file["time_s"][...]
        persons = []
        for person_id in shard.person_ids:
            series = shard.person(person_id)
            persons.append(
                PersonSource(
                    person_id, series.reference, series.split, series.status != FrameStatus.OUTSIDE,
                    series.box[...], series.status, series.sure[...],
                )
            )  # fmt: skip
    return MovieSource(shard.movie_id, time_s, end_of(time_s), tuple(persons))


def of_movie(
    movie: Movie, time_s: NDArray[np.float64], end_s: float, tracklets: Mapping[tuple[str, str], Tracklet]
) -> MovieSource:
    """Without features."""
    persons = []
    for person in movie.persons:
        track = tracklets.get(person.key)
        box = np.full((len(time_s), 4), np.nan, np.float32) if track is None else track.at(time_s)
        inside = (time_s >= person.start_s) & (time_s < person.end_s)
        persons.append(
            PersonSource(person.person_id, person.reference, person.split, inside, box, None, None)
        )
    return MovieSource(movie.movie_id, time_s, end_s, tuple(persons))
