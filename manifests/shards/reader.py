"""Reading feature shards: what is there, and one person's whole series, lazily and in order.

    reader = FeaturesReader(Path("features"))
    series = reader.person("movie_1", "p1")
    series.time_s, series.status          # [T]
    series.holistic[1000:4000]            # reads just these rows, float16, NaN where status promises none

In: a features folder, a shard or a part. Out: series and windows; whatever else a file may be, damaged, foreign
or hostile, becomes an `InputError` that names it. Whether a shard is true to its manifest is left to `verify`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place, place
from rhas.manifests.common.names import file_name, text_of
from rhas.manifests.shards.format import (
    FORMAT,
    FORMAT_HINT,
    FORMAT_VERSION,
    SERIES,
    STRUCTURED,
    WINDOW_COLUMNS,
    PersonRows,
    Window,
    empty_rows,
)
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.interpolated import NAME
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.schema import Storage
from rhas.manifests.shards.status import FrameStatus, streams_of

BLANK_BYTES = 1 << 30  # of rows without features that are read at once
ATTRIBUTES = ("movie_id", "video", "fps", *STRUCTURED)
# HDF5 has no error of its own, and what a damaged or foreign file holds may be of any type and size.
_DAMAGE = (
    OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
)  # fmt: skip


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Makes an InputError, naming the file and `what`, of all that reading a damaged file may raise."""
    try:
        yield
    except _DAMAGE as error:
        message = f"{what} that can be read ({type(error).__name__}: {error})"
        raise InputError(Problem(path, message)) from error


def read_part(path: Path) -> Window:
    """The window stored in a part file. Raises InputError when it is damaged."""
    with reading(path, "the part of a window"), h5py.File(path, "r", locking=False) as file:
        Storage(file, path).check_part()
        persons = {
            text_of(own): PersonRows(**{name: group[name][...] for name in _series_in(group)})
            for own, group in file["persons"].items()
        }
        row = {name: attribute(file, name, kind) for name, kind in WINDOW_COLUMNS.items()}
        return _window(attribute(file, "movie_id", str), row, persons)


def _series_in(group: h5py.Group) -> tuple[str, ...]:
    return (*SERIES, NAME) if NAME in group else SERIES


def _window(movie_id: str, row: dict[str, Any], persons: dict[str, PersonRows]) -> Window:
    """Raises ValueError unless rows and window are what they were when the digest was taken."""
    window = Window(
        movie_id=movie_id,
        index=int(row["index"]),
        start=int(row["start"]),
        stop=int(row["stop"]),
        window_id=row["id"],
        persons=persons,
        stage=row["stage"],
        reason=row["reason"],
        decoder_messages=int(row["decoder_messages"]),
        tracks=row["tracks"],
    )
    if window.row() != row:
        raise ValueError("the checksum does not match the contents")
    return window


class PersonSeries:
    """One referred person's series over the samples of a movie; rows are read from disk when sliced.

    The shard's file stays open as long as the series is in use. Slicing a damaged chunk raises OSError.
    """

    def __init__(self, movie_id: str, person_id: str, file: h5py.File):
        group = file[place_of(person_id)]
        self.movie_id = movie_id
        self.person_id = person_id
        self.reference = attribute(group, "reference", str)
        self.split = attribute(group, "split", str) if "split" in group.attrs else None
        others = json.loads(attribute(group, "others", str)) if "others" in group.attrs else {}
        if not isinstance(others, dict) or not all(isinstance(text, str) for text in others.values()):
            raise ValueError("others: no texts by column")
        self.others: dict[str, str] = others  # the manifest's other columns, as they were then
        self.time_s: NDArray[np.float64] = file["time_s"][...]
        self.source_frame: NDArray[np.int64] = file["source_frame"][...]
        self.status: NDArray[np.uint8] = group["status"][...]
        config = json.loads(attribute(file, "config", str))
        self.streams: tuple[str, ...] = tuple(
            streams_of(config)
        )  # which were extracted: holistic, partial or both
        self.holistic: h5py.Dataset = group["holistic"]  # [T, F] or [T, 32, F] float16
        self.partial: h5py.Dataset = group["partial"]
        self.box: h5py.Dataset = group["box"]  # [T, 4] float32, shares of width and height
        self.score: h5py.Dataset = group["score"]
        self.sure: h5py.Dataset = group["sure"]
        self.candidates: h5py.Dataset = group["candidates"]
        self.track: h5py.Dataset = group["track"]
        self.interpolated: h5py.Dataset | None = group.get(NAME)  # where some features are
        embedding = group.get("text_embedding")
        self.text_embedding: NDArray[np.float32] | None = None if embedding is None else embedding[...]

    def __len__(self) -> int:
        return len(self.time_s)


Stamp = tuple[int, int, int]
_sound: dict[Path, Stamp] = {}  # files that this process has checked, as they were then


def stamp_of(path: Path) -> Stamp:
    """What changes when a file does: its size, its time in ns, and which file it is. Raises InputError without one."""
    with reading(path, "a feature shard"):
        found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


class Shard:
    """An open shard file. Raises InputError, naming the file, for anything that is not one."""

    def __init__(self, path: Path, often: bool = False):
        """`often`: for who opens many files again and again. One that this process has checked is not checked again
        as long as its stamp is the same, and HDF5 keeps no chunks of it, which would be 1 MiB for each series.
        """
        self.path = path
        stamp = stamp_of(path)
        with reading(path, "a feature shard"):
            self.file = h5py.File(path, "r", locking=False, **({"rdcc_nbytes": 0} if often else {}))
            try:
                # Stamped before and after it was opened, so that what was checked is what is open.
                if not often or not _sound.get(path) == stamp == stamp_of(path):
                    self._check()
                    _sound[path] = stamp
            except BaseException:
                self.file.close()
                raise

    def _check(self) -> None:
        attrs = self.file.attrs
        form = attribute(self.file, "format", str) if "format" in attrs else None
        if form != FORMAT:
            raise InputError(Problem(self.path, f"an HDF5 file of format {FORMAT}", value=form or "none"))
        known = "format_version" in attrs
        version = int(attribute(self.file, "format_version", np.int64)) if known else "none"
        if version != FORMAT_VERSION:
            raise InputError(
                Problem(self.path, f"format version {FORMAT_VERSION}{FORMAT_HINT}", value=version)
            )
        if lacking := [name for name in ATTRIBUTES if name not in attrs]:
            raise InputError(Problem(self.path, f"a complete shard; it lacks {', '.join(lacking)}"))
        Storage(self.file, self.path).check_shard()
        for name in ("time_s", "source_frame", *(f"windows/{column}" for column in WINDOW_COLUMNS)):
            if self.file[name].ndim != 1:
                raise InputError(
                    Problem(self.path, f"{name} to be of one dimension", value=self.file[name].shape)
                )
        for person_id in self.person_ids:
            self._check_form(person_id)

    def _check_form(self, person_id: str) -> None:
        """Series of a movie are of one length, and of the shapes that `rhas.manifests.shards.format` names."""
        group = self.file[place_of(person_id)]
        samples = len(self.file["time_s"])
        template = empty_rows(np.zeros(0, bool), group["holistic"].shape[1:], FrameStatus.OUTSIDE)
        for name in _series_in(group):
            shape = (samples, *(() if name == NAME else getattr(template, name).shape[1:]))
            if group[name].shape != shape:
                expected = f"{name} of person {person_id} to be of shape {shape}"
                raise InputError(Problem(self.path, expected, value=group[name].shape))
        if (text := group.get("text_embedding")) is not None and text.ndim != 1:
            expected = f"the text embedding of person {person_id} to be one row of numbers"
            raise InputError(Problem(self.path, expected, value=text.shape))

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def movie_id(self) -> str:
        return attribute(self.file, "movie_id", str)

    @property
    def video(self) -> Place:
        """Where the movie was when it was extracted; of an address what may be told of it."""
        with reading(self.path, "the place of a movie"):
            return place(attribute(self.file, "video", str))

    @property
    def fps(self) -> float | None:
        return float(attribute(self.file, "fps", np.float64)) or None

    def json(self, name: str) -> dict[str, Any]:
        """One of the structured attributes: identity, config, models, versions, source."""
        with reading(self.path, f"an attribute {name}"):
            value = json.loads(attribute(self.file, name, str))
            if not isinstance(value, dict):
                raise ValueError(f"not a JSON object but {type(value).__name__}")
            return value

    @property
    def person_ids(self) -> list[str]:
        return [text_of(name) for name in self.file["persons"]]

    def person(self, person_id: str) -> PersonSeries:
        if person_id not in self.person_ids:
            known = f"one of {', '.join(self.person_ids)}"
            raise InputError(Problem(self.path, known, column="person_id", value=person_id))
        with reading(self.path, f"series of person {person_id}"):
            return PersonSeries(self.movie_id, person_id, self.file)

    def windows(self) -> list[dict[str, Any]]:
        """The window table, one mapping of WINDOW_COLUMNS per row."""
        with reading(self.path, "a table of windows"):
            table = self.file["windows"]
            columns = [
                (table[name].asstr() if kind is str else table[name])[...].tolist()
                for name, kind in WINDOW_COLUMNS.items()
            ]
            return [dict(zip(WINDOW_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]

    def window(self, row: dict[str, Any]) -> Window:
        """The stored rows behind a row of the window table: of those persons that are promised in it."""
        start, stop = row["start"], row["stop"]
        persons = {}
        with reading(self.path, f"window {row['index']} (samples {start} to {stop})"):
            if not 0 <= start < stop <= len(self.file["time_s"]):
                raise ValueError("the movie has no such samples")
            for person_id in self.person_ids:
                group = self.file[place_of(person_id)]
                if group["status"][start:stop].any():
                    row_bytes = sum(group[name].nbytes // len(group[name]) for name in SERIES)
                    # Rows without features take no room in the file, but they do when they are read.
                    if row_bytes * (stop - start) > 2 * self.path.stat().st_size + BLANK_BYTES:
                        raise ValueError("the file is too small to hold them")
                    persons[person_id] = PersonRows(
                        **{name: group[name][start:stop] for name in _series_in(group)}
                    )
            return _window(self.movie_id, row, persons)


class FeaturesReader:
    """All finished shards of a features folder."""

    def __init__(self, root: Path):
        self.folder = FeaturesFolder(root)
        if not self.folder.config.is_file():
            expected = "a features folder written by `rhas extract` (config.json is not there)"
            raise InputError(Problem(root, expected))

    @property
    def movie_ids(self) -> list[str]:
        return sorted(movie_of(path) for path in self.folder.shards.glob("[!.]*.h5"))

    def shard(self, movie_id: str) -> Shard:
        """Raises InputError for a movie that has none, or one that can't be read."""
        path = self.folder.shard(movie_id)
        if not path.exists():
            known = ", ".join(self.movie_ids[:20]) or "a movie; there is no shard yet"
            raise InputError(Problem(self.folder.root, f"one of {known}", column="movie", value=movie_id))
        return Shard(path)

    def notes(self) -> dict[str, list[str]]:
        """What is unusual about movies, by movie_id (`rhas.extract.decode.notes`)."""
        found = {}
        for movie_id in self.movie_ids:
            with self.shard(movie_id) as shard:
                found[movie_id] = [str(note) for note in shard.json("source").get("notes", [])]
        return {movie_id: notes for movie_id, notes in found.items() if notes}

    def ends_s(self) -> dict[str, float]:
        """When each movie ends, by movie_id. Damaged shards, which `verify` tells of, are left out."""
        ends = {}
        for movie_id in self.movie_ids:
            with suppress(InputError), self.shard(movie_id) as shard, reading(shard.path, "times"):
                ends[movie_id] = end_s(shard.file["time_s"][...])
        return ends

    def person(self, movie_id: str, person_id: str) -> PersonSeries:
        return self.shard(movie_id).person(person_id)

    def digest(self) -> str:
        """What identifies all that can be learned here: manifest, labels, folds, and every window's checksum."""
        files = (self.folder.manifest, self.folder.labels, self.folder.actions, self.folder.folds)
        texts = {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}
        windows = {}
        for movie_id in self.movie_ids:
            with self.shard(movie_id) as shard:
                windows[movie_id] = [row["digest"] for row in shard.windows()]
        return content_id([texts, windows])

    def persons(self) -> Iterator[PersonSeries]:
        """The series of everyone, movie by movie; who keeps them all keeps as many files open as there are movies."""
        for movie_id in self.movie_ids:
            shard = self.shard(movie_id)
            for person_id in shard.person_ids:
                yield shard.person(person_id)


def movie_of(shard: Path) -> str:
    """The movie whose shard has this name. Raises InputError for a file that no movie's can have."""
    try:
        return text_of(shard.stem)
    except ValueError as error:
        raise InputError(Problem(shard, f"the shard of a movie, named by its id ({error})")) from error


def place_of(person_id: str) -> str:
    """Where in a shard a person's series are."""
    return f"persons/{file_name(person_id)}"


def end_s(time_s: NDArray[np.float64]) -> float:
    """When a movie with these samples ends: its last one lasts as long as most do."""
    return float(time_s[-1] + (np.median(np.diff(time_s)) if len(time_s) > 1 else 1.0))


def attribute(group: h5py.Group, name: str, kind: type) -> Any:
    """A single value. Raises TypeError, before it is read, for one of another type; texts are of fixed length."""
    form = group.attrs.get_id(name)
    if form.shape != () or not (form.dtype.kind == "S" if kind is str else form.dtype == kind):
        raise TypeError(f"attribute {name} is {form.dtype} {form.shape}")
    value = group.attrs[name]
    return value.decode() if kind is str else value
