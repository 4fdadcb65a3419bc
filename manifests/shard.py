"""The feature shard: one HDF5 file per film. This module defines the format and writes it.

    attributes      format, format_version, movie_id, video, identity (JSON: see manifests.identity),
                    config, models (names and weights' hashes), versions (of packages), source (frame count,
                    height, width, decoded height and width), fps (0: native)   [JSON where structured]
    time_s          [T] float64   film time of each sample; the film starts at 0
    source_frame    [T] int64     frame of the film that the sample shows
    windows/        one row per window: index, start, stop, id, done, digest, stage, reason, decoder_messages
    persons/ID/     attributes reference, start_s, end_s (absent: to the end), split;
                    text_embedding [F] float32 where the encoder has one
      holistic      [T, F] float16 (or [T, 32, F] with all tokens)   NaN where the status promises none
      partial       the same for the person's crop
      box           [T, 4] float32   x1 y1 x2 y2 as shares of the frame's width and height; NaN without a box
      score         [T] float32      of the chosen box; NaN unless detected here
      candidates    [T] uint16       boxes above the threshold after suppression of duplicates
      status        [T] uint8        manifests.status.FrameStatus

Features are uncompressed (float16 features do not compress), checksummed per chunk (fletcher32), and chunks
that no window wrote take no room. Nothing is ever changed in place: a window is first a part file of its own,
and when a film's windows are done its shard is built from them; both are written under a temporary name,
flushed to disk and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from manifests.identity import window_id
from manifests.layout import FeaturesFolder
from manifests.manifest import Person
from manifests.status import FrameStatus

FORMAT = "rhas-features"
FORMAT_VERSION = 1
CHUNK_ROWS = 256
CHUNK_BYTES = 1 << 20
SERIES = ("holistic", "partial", "box", "score", "candidates", "status")
_FILL = {"holistic": np.nan, "partial": np.nan, "box": np.nan, "score": np.nan, "candidates": 0, "status": 0}


@dataclass(frozen=True)
class PersonRows:
    """One person's rows of a window, as laid out above with T = the window's length n."""

    holistic: NDArray[np.float16]
    partial: NDArray[np.float16]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    candidates: NDArray[np.uint16]
    status: NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """The finished samples [start, stop) of a film. `stage` and `reason` are empty unless frames were lost."""

    movie_id: str
    index: int
    start: int
    stop: int
    window_id: str
    persons: Mapping[str, PersonRows]
    stage: str = ""
    reason: str = ""
    decoder_messages: int = 0

    def digest(self) -> str:
        """Checksum over ids and the bytes of all arrays."""
        digest = hashlib.blake2b(self.window_id.encode(), digest_size=16)
        for person_id in sorted(self.persons):
            digest.update(person_id.encode())
            for name in SERIES:
                digest.update(np.ascontiguousarray(getattr(self.persons[person_id], name)).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Film:
    """What a shard says of its film as a whole; known before the first window is computed."""

    movie_id: str
    video: str
    identity: dict[str, Any]
    config: dict[str, Any]
    models: dict[str, Any]
    versions: dict[str, str]
    source: dict[str, int]  # frames, height, width, decoded_height, decoded_width
    fps: float | None
    window_frames: int
    time_s: NDArray[np.float64]
    source_frame: NDArray[np.int64]
    persons: tuple[Person, ...]
    feature_shape: tuple[int, ...]
    text_embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def bounds(self) -> list[tuple[int, int]]:
        """[start, stop) of every window, whether or not a person is in it."""
        total = len(self.time_s)
        return [(a, min(a + self.window_frames, total)) for a in range(0, total, self.window_frames)]

    def window_id(self, index: int) -> str:
        return window_id(self.identity, *self.bounds()[index])

    def inside(self, person: Person, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Which samples of [start, stop) were promised for `person`."""
        time_s = self.time_s[start:stop]
        return (time_s >= person.start_s) & (time_s < person.end_s)

    def planned(self) -> dict[int, tuple[Person, ...]]:
        """Windows in which somebody is promised, and who."""
        planned = {}
        for index, (start, stop) in enumerate(self.bounds()):
            persons = tuple(p for p in self.persons if self.inside(p, start, stop).any())
            if persons:
                planned[index] = persons
        return planned


def empty_rows(inside: NDArray[np.bool_], feature_shape: tuple[int, ...], status: FrameStatus) -> PersonRows:
    """Rows without features: `status` where the person was promised, OUTSIDE elsewhere."""
    n = len(inside)
    return PersonRows(
        holistic=np.full((n, *feature_shape), np.nan, np.float16),
        partial=np.full((n, *feature_shape), np.nan, np.float16),
        box=np.full((n, 4), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        candidates=np.zeros(n, np.uint16),
        status=np.where(inside, status, FrameStatus.OUTSIDE).astype(np.uint8),
    )


def failed_window(film: Film, index: int, stage: str, reason: str) -> Window:
    """A window of which nothing could be computed."""
    start, stop = film.bounds()[index]
    rows = {
        p.person_id: empty_rows(film.inside(p, start, stop), film.feature_shape, FrameStatus.FAILED)
        for p in film.planned()[index]
    }
    return Window(film.movie_id, index, start, stop, film.window_id(index), rows, stage, reason)


@contextmanager
def _written_atomically(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file that appears under `path` complete and on disk, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w", locking=False) as file:
            yield file
            file.flush()
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_part(folder: FeaturesFolder, window: Window) -> None:
    """Stores a finished window. Writing the same window twice leaves one."""
    with _written_atomically(folder.part(window.movie_id, window.index, window.window_id)) as file:
        file.attrs.update(
            movie_id=window.movie_id, index=window.index, start=window.start, stop=window.stop,
            id=window.window_id, digest=window.digest(), stage=window.stage, reason=window.reason,
            decoder_messages=window.decoder_messages,
        )  # fmt: skip
        for person_id, rows in window.persons.items():
            group = file.create_group(f"persons/{person_id}")
            for name in SERIES:
                group.create_dataset(name, data=getattr(rows, name), fletcher32=True)


def read_part(path: Path) -> Window:
    """The window stored in a part file. Raises OSError or ValueError when it is damaged."""
    with h5py.File(path, "r", locking=False) as file:
        attrs = file.attrs
        persons = {
            person_id: PersonRows(**{name: group[name][...] for name in SERIES})
            for person_id, group in file["persons"].items()
        }
        window = Window(
            str(attrs["movie_id"]), int(attrs["index"]), int(attrs["start"]), int(attrs["stop"]), str(attrs["id"]),
            persons, str(attrs["stage"]), str(attrs["reason"]), int(attrs["decoder_messages"]),
        )  # fmt: skip
        if window.digest() != attrs["digest"]:
            raise ValueError(f"{path}: the checksum does not match the contents")
    return window


def write_shard(folder: FeaturesFolder, film: Film, load: Callable[[int], Window]) -> None:
    """Builds a film's shard, asking `load` for every planned window in turn: memory stays that of one window.

    `load` returns `failed_window(…)` for a window that could not be computed.
    """
    bounds = film.bounds()
    planned = film.planned()
    with _written_atomically(folder.shard(film.movie_id)) as file:
        file.attrs.update(
            format=FORMAT, format_version=FORMAT_VERSION, movie_id=film.movie_id, video=film.video,
            fps=film.fps or 0.0, identity=json.dumps(film.identity), config=json.dumps(film.config),
            models=json.dumps(film.models), versions=json.dumps(film.versions), source=json.dumps(film.source),
        )  # fmt: skip
        file.create_dataset("time_s", data=film.time_s, fletcher32=True, chunks=True)
        file.create_dataset("source_frame", data=film.source_frame, fletcher32=True, chunks=True)
        for person in film.persons:
            _create_person(file, film, person)
        table: dict[str, list[Any]] = {
            name: []
            for name in (
                "index",
                "start",
                "stop",
                "id",
                "done",
                "digest",
                "stage",
                "reason",
                "decoder_messages",
            )
        }
        for index in planned:
            window = load(index)
            start, stop = bounds[index]
            for person_id, rows in window.persons.items():
                for name in SERIES:
                    file[f"persons/{person_id}/{name}"][start:stop] = getattr(rows, name)
            lost_whole = all(
                np.isin(rows.status, (FrameStatus.FAILED, FrameStatus.OUTSIDE)).all()
                for rows in window.persons.values()
            )
            row = (index, start, stop, window.window_id, not lost_whole, window.digest(), window.stage, window.reason,
                   window.decoder_messages)  # fmt: skip
            for column, value in zip(table.values(), row, strict=True):
                column.append(value)
        for name, column in table.items():
            dtype = h5py.string_dtype() if name in ("id", "digest", "stage", "reason") else None
            file.create_dataset(
                f"windows/{name}", data=np.array(column, dtype=dtype or type(column[0])) if column else []
            )


def _create_person(file: h5py.File, film: Film, person: Person) -> None:
    group = file.create_group(f"persons/{person.person_id}")
    group.attrs["reference"] = person.reference
    group.attrs["start_s"] = person.start_s
    if np.isfinite(person.end_s):
        group.attrs["end_s"] = person.end_s
    if person.split:
        group.attrs["split"] = person.split
    embedding = film.text_embeddings.get(person.person_id)
    if embedding is not None:
        group.create_dataset("text_embedding", data=embedding.astype(np.float32))
    template = empty_rows(np.zeros(0, bool), film.feature_shape, FrameStatus.OUTSIDE)
    for name in SERIES:
        rows = getattr(template, name)
        row_bytes = int(rows.dtype.itemsize * np.prod(rows.shape[1:], dtype=int))
        chunk = max(1, min(CHUNK_ROWS, CHUNK_BYTES // row_bytes, len(film.time_s)))
        group.create_dataset(
            name, shape=(len(film.time_s), *rows.shape[1:]), dtype=rows.dtype, fillvalue=_FILL[name],
            chunks=(chunk, *rows.shape[1:]), fletcher32=True,
        )  # fmt: skip
