"""One movie of a features folder, made of features that others computed.

In: an `ImportedMovie` and the folder's config.json. Out: its shard, unless that is there already, whole and made
from the same files. Memory is that of one window. Numbers that float16 can't hold are an InputError, and leave
no shard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.digest import file_digest
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.imports.arrays import FeatureFile
from rhas.manifests.imports.frames import frame_times
from rhas.manifests.shards.format import MovieHeader, Window, empty_rows, write_shard
from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie

WINDOW_FRAMES = 512
MOST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class ImportedMovie:
    """One movie with one person: the first `frames` frames of its files, in labels and features."""

    movie: Movie
    frames: int  # T
    holistic: FeatureFile
    partial: FeatureFile | None  # None: there is no such file, which the frames' status says
    source_frame: NDArray[np.int64]  # [T]
    intervals: tuple[Interval, ...]
    fps: float  # frame t stands at t / fps seconds
    cut: int = 0  # frames beyond the first T, in the file that has most


@dataclass(frozen=True)
class LostMovie:
    """A movie that belongs to the data set, and why there is nothing of it here."""

    movie: Movie
    reason: str


def write_movie(folder: FeaturesFolder, record: dict[str, Any], imported: ImportedMovie) -> bool:
    """Whether the movie's shard had to be written."""
    header = _movie(record, imported)
    if _whole(folder, header):
        return False
    write_shard(folder, header, lambda index: _window(header, imported, index))
    return True


def _movie(record: dict[str, Any], imported: ImportedMovie) -> MovieHeader:
    """What the shard says of the movie. Its identity is that of its files: the holistic one stands for the movie.

    The frames and the partial file are part of it too, so that windows of other files are never taken over.
    """
    movie = imported.movie
    with reading(imported.holistic.path, "features"):
        identity = movie_identity(record["extraction"], file_digest(imported.holistic.path), movie.persons)
    partial = imported.partial
    identity["frames"] = imported.frames
    if partial is not None:
        with reading(partial.path, "features"):
            identity["partial"] = file_digest(partial.path)
    return MovieHeader(
        movie_id=movie.movie_id,
        video=str(movie.video),
        identity=identity,
        config=record["config"],
        models=record["models"],
        versions=record["versions"],
        source={
            "frames": imported.frames + imported.cut, "cut": imported.cut,
            "height": 0, "width": 0, "decoded_height": 0, "decoded_width": 0,  # nobody saw the movie
        },
        fps=imported.fps,
        window_frames=WINDOW_FRAMES,
        time_s=frame_times(imported.frames, imported.fps),
        source_frame=imported.source_frame,
        persons=movie.persons,
        feature_shape=imported.holistic.shape,
    )  # fmt: skip


def _whole(folder: FeaturesFolder, header: MovieHeader) -> bool:
    """Whether the movie's shard is there, from the same files, says the same and has every window undamaged."""
    path = folder.shard(header.movie_id)
    if not path.exists():
        return False
    try:
        with Shard(path) as shard, reading(path, "a feature shard"):
            person = shard.person(header.persons[0].person_id)
            same = (
                shard.json("identity") == header.identity
                and shard.json("source") == header.source
                and (str(shard.video), shard.fps, person.split)
                == (header.video, header.fps, header.persons[0].split)
                and np.array_equal(person.time_s, header.time_s)
                and np.array_equal(person.source_frame, header.source_frame)
            )
    except InputError:  # damaged: written again
        return False
    return same and FinishedWindows(folder, header).indices() == set(header.planned())


def _window(header: MovieHeader, imported: ImportedMovie, index: int) -> Window:
    """Raises InputError, naming the file, for numbers that are not finite or too large."""
    start, stop = header.bound(index)
    (person,) = header.persons
    rows = empty_rows(header.inside(person, start, stop), header.feature_shape, FrameStatus.MISSING)
    holistic = _halves(imported.holistic, start, stop)
    _refuse_unusable(imported.holistic.path, holistic, start)
    status, partial = rows.status, rows.partial
    if imported.partial is not None:
        partial = _halves(imported.partial, start, stop)
        missing = np.isnan(partial.reshape(len(partial), -1)).all(
            axis=1
        )  # no crop of the person in this frame
        _refuse_unusable(imported.partial.path, partial, start, missing)
        status = np.where(missing, status, FrameStatus.IMPORTED).astype(np.uint8)
    own = replace(rows, holistic=holistic, partial=partial, status=status)
    return Window(header.movie_id, index, start, stop, header.window_id(index), {person.person_id: own})


def _halves(file: FeatureFile, start: int, stop: int) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # to infinity, which is refused
        return np.ascontiguousarray(file.rows(start, stop).astype(np.float16))


def _refuse_unusable(path: Path, rows: NDArray[np.float16], start: int, missing: Any = None) -> None:
    bad = ~np.isfinite(rows.reshape(len(rows), -1))
    if missing is not None:
        bad[missing] = False
    if bad.any():
        frame = start + int(bad.any(axis=1).argmax())
        expected = f"finite features from -{MOST:g} to {MOST:g}, as float16 holds them"
        raise InputError(Problem(path, expected, value=f"others in frame {frame}, counted from 0"))
