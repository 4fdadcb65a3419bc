"""The feature shard: one HDF5 file per movie. This module defines the format and writes it.

    attributes      format, format_version, movie_id, video, identity (JSON: see rhas.manifests.shards.identity),
                    config, models (names and weights' hashes), versions (of packages), source (what the movie is:
                    rhas.extract.decode.index.MovieFacts, and the size that it was decoded at), fps (0: native)
                    [JSON where structured]
    time_s          [T] float64   movie time of each sample; the movie starts at 0
    source_frame    [T] int64     frame of the movie that the sample shows
    windows/        one row per window in which somebody is promised: index, start, stop, id, done (false: nothing
                    of it could be computed), digest, stage, reason (of lost frames), decoder_messages, tracks (digest
                    of what tracks say of it, see rhas.manifests.shards.tracks; empty where each frame is by itself)
    persons/ID/     attributes reference, start_s, end_s (absent: to the end), split, others (JSON: what the manifest's
                    other columns say, by name; absent without any); ID is as rhas.manifests.common.names writes it;
                    text_embedding [F] float32 where the encoder has one, and always where it stored all tokens
      holistic      [T, F] float16 (or [T, 32, F] with all tokens)   NaN where the status promises none, and all over
                    where the config's encoder.streams names the other stream only, which takes no room
      partial       the same for the person's crop
      box           [T, 4] float32   x1 y1 x2 y2 as shares of the frame's width and height; NaN without a box
      score         [T] float32      the detector's, of the chosen box; NaN without a box
      sure          [T] float32      how probably the box is this person's (`tracks.sure`, `detector.sure`), or NaN
      candidates    [T] uint16       boxes that were to choose from, after suppression of duplicates
      status        [T] uint8        rhas.manifests.shards.status.FrameStatus
      track         [T] int32        which of the movie's tracks the box belongs to; -1 where it belongs to none
      interpolated  [T] uint8        only with encoder.crop_every or frame_every above 1: streams that were not encoded
                                     but interpolated, see rhas.manifests.shards.interpolated

Features are uncompressed (float16 features do not compress). All series are checksummed per chunk (fletcher32),
and chunks that no window wrote take no room; a window's digest ties its rows to its id and to what is said of
it. Files have the layout of HDF5 1.10, which checksums its own structures too, and texts of fixed length.

Features depend neither on split nor on others, so no window's identity does: both are what the manifest said when the
shard was written, and what it says now is in the folder's manifest.csv.

Nothing is ever changed in place: a window is first a part file of its own, and when a movie's windows are done
its shard is built from them; both are written under a temporary name, flushed to disk and renamed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import naming, sync
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.identity import window_id
from rhas.manifests.shards.interpolated import every_of
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.pictures import Pictures
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

FORMAT = "rhas-features"
FORMAT_VERSION = 4
# What a user does with shards of another version: they hold other things, so none can be made of them.
FORMAT_HINT = (
    "; shards aren't converted: extract or import anew into another folder, or use the rhas that wrote these"
)
CHUNK_ROWS = 256
CHUNK_BYTES = 1 << 20
STRUCTURED = ("identity", "config", "models", "versions", "source")
SERIES = ("holistic", "partial", "box", "score", "sure", "candidates", "status", "track")
WINDOW_COLUMNS: dict[str, type] = {
    "index": np.int64, "start": np.int64, "stop": np.int64, "id": str, "done": np.bool_, "digest": str,
    "stage": str, "reason": str, "decoder_messages": np.int64, "tracks": str,
}  # fmt: skip


@dataclass(frozen=True)
class PersonRows:
    """One person's rows of a window, as laid out above with T = the window's length n."""

    holistic: NDArray[np.float16]
    partial: NDArray[np.float16]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    sure: NDArray[np.float32]
    candidates: NDArray[np.uint16]
    status: NDArray[np.uint8]
    track: NDArray[np.int32]
    interpolated: NDArray[np.uint8] | None = None

    def arrays(self) -> dict[str, NDArray]:
        """All that there are, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def part(self, start: int, stop: int) -> PersonRows:
        """Rows [start, stop)."""
        return PersonRows(**{name: array[start:stop] for name, array in self.arrays().items()})


@dataclass(frozen=True)
class Window:
    """The finished samples [start, stop) of a movie, with the rows of those who are promised in them.

    `stage` and `reason` are empty unless frames were lost; the reason is kept as one line.
    """

    movie_id: str
    index: int
    start: int
    stop: int
    window_id: str
    persons: Mapping[str, PersonRows]
    stage: str = ""
    reason: str = ""
    decoder_messages: int = 0
    tracks: str = ""
    people: Pictures | None = None  # made beside it, stored apart (see rhas.manifests.shards.people)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", one_line(self.reason))

    @property
    def done(self) -> bool:
        """False when nothing of the window could be computed."""
        nothing = (FrameStatus.FAILED, FrameStatus.OUTSIDE)
        return any(not np.isin(rows.status, nothing).all() for rows in self.persons.values())

    def digest(self) -> str:
        """Checksum over ids, messages and the bytes of all arrays."""
        said = json.dumps([self.window_id, self.stage, self.reason, self.decoder_messages, self.tracks])
        digest = hashlib.blake2b(said.encode(), digest_size=16)
        for person_id in sorted(self.persons):
            digest.update(person_id.encode())
            for array in self.persons[person_id].arrays().values():
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def row(self) -> dict[str, Any]:
        """What is stored of the window besides its persons' rows: WINDOW_COLUMNS."""
        values = (self.index, self.start, self.stop, self.window_id, self.done, self.digest(), self.stage,
                  self.reason, self.decoder_messages, self.tracks)  # fmt: skip
        return dict(zip(WINDOW_COLUMNS, values, strict=True))


@dataclass(frozen=True)
class MovieHeader:
    """What a shard says of its movie as a whole; known before the first window is computed."""

    movie_id: str
    video: str | Remote  # of an address only what may be told is stored
    identity: dict[str, Any]
    config: dict[str, Any]
    models: dict[str, Any]
    versions: dict[str, str]
    source: dict[str, Any]  # frames, height, width, decoded_height, decoded_width and more
    fps: float | None
    window_frames: int
    time_s: NDArray[np.float64]
    source_frame: NDArray[np.int64]
    persons: tuple[Person, ...]
    feature_shape: tuple[int, ...]
    text_embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    other_columns: tuple[str, ...] = ()  # what `Person.others` are
    tracks: Mapping[int, str] = field(default_factory=dict)  # by window, the digest of what tracks say of it

    @property
    def interpolates(self) -> bool:
        """Whether some features are interpolated, and rows say which."""
        return max(every_of(self.config)) > 1

    def bounds(self) -> list[tuple[int, int]]:
        """[start, stop) of every window, whether or not a person is in it."""
        return [self.bound(index) for index in range(-(-len(self.time_s) // self.window_frames))]

    def bound(self, index: int) -> tuple[int, int]:
        """[start, stop) of a window."""
        start = index * self.window_frames
        return start, min(start + self.window_frames, len(self.time_s))

    def window_id(self, index: int) -> str:
        return window_id(self.identity, *self.bound(index), self.tracks.get(index, ""))

    def inside(self, person: Person, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Which samples of [start, stop) were promised for `person`."""
        time_s = self.time_s[start:stop]
        return (time_s >= person.start_s) & (time_s < person.end_s)

    def planned(self) -> dict[int, tuple[Person, ...]]:
        """Windows in which somebody is promised, and who."""
        bounds = enumerate(self.bounds())
        return {index: persons for index, bound in bounds if (persons := self.promised(*bound))}

    def promised(self, start: int, stop: int) -> tuple[Person, ...]:
        """Who is promised in [start, stop)."""
        return tuple(p for p in self.persons if self.inside(p, start, stop).any())


def one_line(text: str) -> str:
    """A message as CSV and HDF5 can hold it: control characters and bytes that are no text become spaces."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def empty_rows(
    inside: NDArray[np.bool_], feature_shape: tuple[int, ...], status: FrameStatus, interpolates: bool = False
) -> PersonRows:
    """Rows without features: `status` where the person was promised, OUTSIDE elsewhere."""
    n = len(inside)
    return PersonRows(
        holistic=np.full((n, *feature_shape), np.nan, np.float16),
        partial=np.full((n, *feature_shape), np.nan, np.float16),
        box=np.full((n, 4), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        sure=np.full(n, np.nan, np.float32),
        candidates=np.zeros(n, np.uint16),
        status=np.where(inside, status, FrameStatus.OUTSIDE).astype(np.uint8),
        track=np.full(n, -1, np.int32),
        interpolated=np.zeros(n, np.uint8) if interpolates else None,
    )


def failed_window(header: MovieHeader, index: int, stage: str, reason: str) -> Window:
    """A window of which nothing could be computed."""
    start, stop = header.bound(index)
    rows = {
        p.person_id: empty_rows(
            header.inside(p, start, stop), header.feature_shape, FrameStatus.FAILED, header.interpolates
        )
        for p in header.promised(start, stop)
    }
    tracks = header.tracks.get(index, "")
    return Window(
        header.movie_id, index, start, stop, header.window_id(index), rows, stage, reason, tracks=tracks
    )


def check_window(header: MovieHeader, window: Window) -> None:
    """Raises ValueError unless `window` is one of the movie's, with rows of those promised in it and no others."""
    got, expected = _outline(window), _outline(failed_window(header, window.index, "", ""))
    if got != expected:
        raise ValueError(f"window {window.index} of movie {header.movie_id}: {got = }, {expected = }")


def _outline(window: Window) -> tuple[Any, ...]:
    """Which window it is, and the form of its rows."""
    forms = {
        p: [(a.dtype.name, a.shape) for a in rows.arrays().values()] for p, rows in window.persons.items()
    }
    return window.window_id, window.start, window.stop, forms


class _Disk(io.FileIO):
    """A file for HDF5 to write to that seems never full: HDF5 crashes where a write fails. `check` tells."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while len(left) and self.error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raises the OSError that HDF5 wasn't told of."""
        if self.error is not None:
            raise self.error


@contextmanager
def _written_atomically(path: Path) -> Iterator[tuple[h5py.File, _Disk]]:
    """An HDF5 file that appears under `path` complete and on disk, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        _make_folder(path.parent)
        try:
            with _Disk(temporary, "w+") as disk:
                with h5py.File(disk, "w", libver=("v110", "v110")) as file:
                    yield file, disk
                disk.check()
                os.fsync(disk.fileno())
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _make_folder(path: Path) -> None:
    """Creates a folder and those above it, each on disk before anything is put into it.

    Others may create the same ones meanwhile, or remove those that are empty.
    """
    while not path.is_dir():
        _make_folder(path.parent)
        with suppress(FileExistsError, FileNotFoundError):
            path.mkdir()
            sync(path.parent)


def write_part(folder: FeaturesFolder, window: Window) -> None:
    """Stores a finished window. Writing the same window twice leaves one."""
    with _written_atomically(folder.part(window.movie_id, window.index, window.window_id)) as (file, _):
        _describe(file, movie_id=window.movie_id, **window.row())
        persons = file.create_group("persons")
        for person_id, rows in window.persons.items():
            group = persons.create_group(file_name(person_id))
            for name, array in rows.arrays().items():
                group.create_dataset(name, data=array, fletcher32=True)


def write_shard(folder: FeaturesFolder, header: MovieHeader, load: Callable[[int], Window]) -> None:
    """Builds a movie's shard, asking `load` for every planned window in turn: memory stays that of one window.

    `load` returns `failed_window(…)` where nothing could be computed. A window of another movie is a ValueError.
    """
    with _written_atomically(folder.shard(header.movie_id)) as (file, disk):
        _describe(file, format=FORMAT, format_version=FORMAT_VERSION, movie_id=header.movie_id)
        _describe(file, video=str(header.video), fps=header.fps or 0.0)
        _describe(file, **{name: json.dumps(getattr(header, name)) for name in STRUCTURED})
        file.create_dataset("time_s", data=header.time_s, fletcher32=True)
        file.create_dataset("source_frame", data=header.source_frame, fletcher32=True)
        persons = file.create_group("persons")
        for person in header.persons:
            _create_person(persons.create_group(file_name(person.person_id)), header, person)
        table = []
        for window in map(load, header.planned()):
            check_window(header, window)
            for person_id, rows in window.persons.items():
                for name, values in rows.arrays().items():
                    series = persons[file_name(person_id)][name]
                    # What is never written takes no room, and reads as the fill value: NaN.
                    if values.tobytes() != np.full_like(values, series.fillvalue).tobytes():
                        series[window.start : window.stop] = values
            disk.check()
            table.append(window.row())
        _create_table(file.create_group("windows"), table)


def _create_person(group: h5py.Group, header: MovieHeader, person: Person) -> None:
    end_s = person.end_s if np.isfinite(person.end_s) else None
    _describe(group, reference=person.reference, start_s=person.start_s, end_s=end_s, split=person.split)
    if header.other_columns:
        _describe(group, others=json.dumps(dict(zip(header.other_columns, person.others, strict=True))))
    if (embedding := header.text_embeddings.get(person.person_id)) is not None:
        group.create_dataset("text_embedding", data=embedding.astype(np.float32), fletcher32=True)
    samples = len(header.time_s)
    template = empty_rows(np.zeros(1, bool), header.feature_shape, FrameStatus.OUTSIDE, header.interpolates)
    for name, fill in template.arrays().items():
        chunk = max(1, min(CHUNK_ROWS, CHUNK_BYTES // fill.nbytes, samples))
        group.create_dataset(
            name, (samples, *fill.shape[1:]), fill.dtype, fillvalue=fill.flat[0], fletcher32=True,
            chunks=(chunk, *fill.shape[1:]) if samples else True,
        )  # fmt: skip


def _create_table(group: h5py.Group, rows: Sequence[dict[str, Any]]) -> None:
    for name, kind in WINDOW_COLUMNS.items():
        column = [row[name].encode() if kind is str else row[name] for row in rows]
        dtype = _text_dtype(column) if kind is str else np.dtype(kind)
        group.create_dataset(name, data=np.array(column, dtype), fletcher32=True)


def _describe(group: h5py.Group, **values: str | float | None) -> None:
    """Sets attributes, leaving out those that are None."""
    for name, value in values.items():
        if isinstance(value, str):
            group.attrs.create(name, value.encode(), dtype=_text_dtype([value.encode()]))
        elif value is not None:
            group.attrs[name] = value


def _text_dtype(texts: Sequence[bytes]) -> np.dtype:
    """Room for the longest. HDF5 keeps texts of varying length where damage goes unnoticed or hangs readers."""
    return h5py.string_dtype("utf-8", max([1, *map(len, texts)]))
