"""Features folders with labels, for tests of what training reads, and windows without a folder behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from feature_folders import FPS, make_movie, write_folder

from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.labels import Interval, Labels, write_labels
from rhas.manifests.tables.manifest import Person
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.windows import Clip, Window

VOCABULARY = Vocabulary(("running", "walking"))  # that of `write_folder`
PersonKey = tuple[str, str]


def two_persons(movie_id: str, splits: Sequence[str | None] = (None, None)) -> tuple[Person, ...]:
    """One to the end of the movie, one from 1 s on for 2 s."""
    return (
        Person(movie_id, "a", "the man in red", split=splits[0]),
        Person(movie_id, "b", "the wömán", 1.0, 3.0, splits[1]),
    )


def labelled_movie(
    movie_id: str, samples: int = 40, feature_shape: tuple[int, ...] = (6,),
    persons: tuple[Person, ...] | None = None, video_id: str | None = None,
) -> MovieHeader:  # fmt: skip
    persons = two_persons(movie_id) if persons is None else persons
    return make_movie(
        movie_id, samples, feature_shape=feature_shape, persons=persons, video_id=video_id or movie_id
    )


def intervals_of(header: MovieHeader, seed: int = 0) -> tuple[Interval, ...]:
    """Overlapping actions with a gap marked N/A."""
    rng = np.random.default_rng([seed, len(header.time_s)])
    gap = float(rng.integers(5, 15)) / FPS
    return (
        Interval("running", 0.0, gap),
        Interval("walking", gap / 2, gap),
        Interval(ABSENT, gap, gap + 0.5),
        Interval("walking", gap + 0.5, gap + 1.0),
        Interval("running", gap + 1.0, gap + 1.2),
    )


def write_training_folder(
    root: Path, movies: Sequence[MovieHeader], intervals: Mapping[PersonKey, tuple[Interval, ...]] | None = None,
    seed: int = 0, lossy: bool = True,
) -> FeaturesFolder:  # fmt: skip
    """A folder with labels; by default everyone's are `intervals_of` their movie."""
    folder = write_folder(root, list(movies), seed, lossy)
    if intervals is None:
        intervals = {person.key: intervals_of(movie) for movie in movies for person in movie.persons}
    write_labels(Labels(folder.labels, intervals), folder.labels)
    return folder


def damage(folder: FeaturesFolder, movie_id: str, person_id: str, stream: str, sample: int) -> None:
    """NaN in one number of one frame's features."""
    with h5py.File(folder.shard(movie_id), "r+") as file:
        file[f"persons/{person_id}/{stream}"][sample, ..., 0] = np.nan


def clip_of(
    movie_id: str, person_id: str = "a", frames: int = 1, first: int = 0, split: str | None = None,
    movie: str | None = None,
) -> Clip:  # fmt: skip
    """A clip of which only the place matters."""
    return Clip(
        movie_id, person_id, "", split, movie or movie_id, Path(f"{movie_id}.h5"), first,
        (first + np.arange(frames)) / FPS, np.ones(frames, np.uint8), (),
    )  # fmt: skip


def windows_of(**movies: int) -> list[Window]:
    """As many windows of one frame for each movie."""
    return [Window(clip_of(name, frames=n), i, i + 1) for name, n in movies.items() for i in range(n)]
