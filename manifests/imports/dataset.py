"""A features folder made of features that others computed: written movie by movie, taken up where it stopped.

In: an `ImportedSet`, whose files were found to be laid out as they should be. Out: what `rhas extract` would
leave: config.json, manifest, labels, vocabulary, shards; folds too where there are any. Movies without features are
in the manifest and in failures.csv, as those are that could not be extracted. A file whose numbers can't be used is a
problem of its movie; the other movies are written all the same. Locking is left to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.imports.movie import WINDOW_FRAMES, ImportedMovie, LostMovie, write_movie
from rhas.manifests.shards.failures import movie_failure, write_failures
from rhas.manifests.shards.format import FORMAT_VERSION
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.snapshot import write_snapshot
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.folds import write_folds
from rhas.manifests.tables.inputs import Inputs
from rhas.manifests.tables.labels import Labels
from rhas.manifests.tables.manifest import Manifest
from rhas.manifests.tables.vocabulary import Vocabulary

SHOWN = 5  # names in a line
Listener = Callable[[int, int], None]  # movies done, of how many


@dataclass(frozen=True)
class ImportedSet:
    """Movies of one layout, with features of one shape."""

    layout: str  # mstcn, rhas133, or a data set of multilabel
    source: Path
    settings: dict[str, Any]  # of the import, as JSON holds them
    fps: float | None  # None: movies differ
    movies: tuple[ImportedMovie, ...]
    vocabulary: Vocabulary
    folds: Mapping[int, Mapping[str, str]] | None = None
    lost: tuple[LostMovie, ...] = ()
    warnings: tuple[str, ...] = ()  # of what was read as it stands, and may be meant otherwise

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.movies[0].holistic.shape

    def told(self) -> Iterator[str]:
        """Lines for whoever imports: what was left out, and the warnings."""
        if self.lost:
            named = ", ".join(f"{lost.movie.movie_id} ({lost.reason})" for lost in self.lost[:SHOWN])
            more = f" and {len(self.lost) - SHOWN} more" if len(self.lost) > SHOWN else ""
            of = len(self.lost) + len(self.movies)
            yield f"{len(self.lost)} of {of} videos were left out, as failures.csv records: {named}{more}"
        yield from self.warnings


@dataclass(frozen=True)
class Written:
    """What came of an import."""

    movies: int
    skipped: int  # whole already
    intervals: int
    cut: int  # movies of which some file had more frames than others
    cut_frames: int  # in all of them
    without_partial: int


def check_shapes(movies: list[ImportedMovie]) -> Iterator[Problem]:
    """Files whose frames are not of the shape of the first movie's."""
    for movie in movies:
        for file in filter(None, (movie.holistic, movie.partial)):
            first = movies[0].holistic
            if file.shape != first.shape:
                expected = f"frames of {_times(first.shape)} numbers, as in {first.path}"
                yield Problem(file.path, expected, value=_times(file.shape))


def write_dataset(folder: FeaturesFolder, imported: ImportedSet, listener: Listener | None = None) -> Written:
    """Writes all movies that are not there yet. Raises one InputError for the files that could not be used.

    A folder that was made with other settings, or holds other movies, is refused before anything is changed.
    """
    record = _record(imported)
    _refuse_other(folder, record, imported)
    problems: list[Problem] = []
    skipped = 0
    try:
        _write_tables(folder, record, imported)
        for done, movie in enumerate(imported.movies):
            if listener is not None:
                listener(done, len(imported.movies))
            try:
                skipped += not write_movie(folder, record, movie)
            except InputError as error:
                problems += error.problems
    except OSError as error:
        message = f"a folder that can be written ({error.strerror or error})"
        raise InputError(Problem(folder.root, message)) from error
    if problems:
        raise InputError(problems)
    return Written(
        movies=len(imported.movies),
        skipped=skipped,
        intervals=sum(len(movie.intervals) for movie in imported.movies),
        cut=sum(movie.cut > 0 for movie in imported.movies),
        cut_frames=sum(movie.cut for movie in imported.movies),
        without_partial=sum(movie.partial is None for movie in imported.movies),
    )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _record(imported: ImportedSet) -> dict[str, Any]:
    """config.json. Which weights made the features is not known, so the models say where they come from."""
    identity = {
        "format_version": FORMAT_VERSION,
        "config": {
            "import": {"layout": imported.layout, **imported.settings},
            "decode": {"fps": imported.fps, "window_frames": WINDOW_FRAMES},
            "precision": "imported",
        },
        "models": {"features": {"name": f"imported ({imported.layout})", "hash": "unknown"}},
        "feature_shape": list(imported.feature_shape),
    }
    versions = {"h5py": h5py.__version__, "numpy": np.__version__}
    return {"extraction": content_id(identity), **identity, "versions": versions}


def _refuse_other(folder: FeaturesFolder, record: dict[str, Any], imported: ImportedSet) -> None:
    if folder.config.exists():
        old = read_config(folder)
        if old["extraction"] != record["extraction"]:
            expected = (
                f"the settings that the folder was begun with, {json.dumps(old['config'])} (or another --out)"
            )
            raise InputError(Problem(folder.config, expected, value=json.dumps(record["config"])))
    known = {folder.shard(movie.movie.movie_id) for movie in imported.movies}
    others = sorted(path.stem for path in folder.shards.glob("[!.]*.h5") if path not in known)
    if others:
        expected = f"only shards of movies in {imported.source} (or another --out)"
        raise InputError(Problem(folder.shards, expected, value=", ".join(others[:20])))


def _write_tables(folder: FeaturesFolder, record: dict[str, Any], imported: ImportedSet) -> None:
    """Everything beside the shards."""
    folder.root.mkdir(parents=True, exist_ok=True)
    for left_by_a_killed_run in folder.shards.glob(".*.tmp"):
        left_by_a_killed_run.unlink(missing_ok=True)
    write_text_atomically(folder.config, json.dumps(record, indent=2) + "\n")
    movies = [movie.movie for movie in imported.movies] + [lost.movie for lost in imported.lost]
    manifest = Manifest(imported.source, tuple(movies))
    intervals = {movie.movie.persons[0].key: movie.intervals for movie in imported.movies}
    labels = Labels(imported.source, intervals)
    write_snapshot(folder, Inputs(manifest, labels, imported.vocabulary))
    if imported.folds is not None:
        write_folds(imported.folds, folder.folds)
    lost = [movie_failure(lost.movie.movie_id, "probe", lost.reason) for lost in imported.lost]
    write_failures(folder.failures, lost)
