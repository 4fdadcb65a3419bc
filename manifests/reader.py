"""Reading feature shards: what is there, and one person's whole series, lazily and in order.

reader = FeaturesReader(Path("features"))
series = reader.person("film_1", "p1")
series.time_s, series.status          # [T]
series.holistic[1000:4000]            # reads just these rows, float16, NaN where status promises none
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from manifests.errors import InputError, Problem
from manifests.layout import FeaturesFolder
from manifests.shard import FORMAT, FORMAT_VERSION, SERIES, PersonRows, Window


class PersonSeries:
    """One referred person's series over the samples of a film; rows are read from disk when sliced."""

    def __init__(self, movie_id: str, person_id: str, file: h5py.File):
        group = file[f"persons/{person_id}"]
        self.movie_id = movie_id
        self.person_id = person_id
        self.reference = str(group.attrs["reference"])
        self.split = str(group.attrs["split"]) if "split" in group.attrs else None
        self.time_s: NDArray[np.float64] = file["time_s"][...]
        self.source_frame: NDArray[np.int64] = file["source_frame"][...]
        self.status: NDArray[np.uint8] = group["status"][...]
        self.holistic: h5py.Dataset = group["holistic"]  # [T, F] or [T, 32, F] float16
        self.partial: h5py.Dataset = group["partial"]
        self.box: h5py.Dataset = group["box"]  # [T, 4] float32, shares of width and height
        self.score: h5py.Dataset = group["score"]
        self.candidates: h5py.Dataset = group["candidates"]
        embedding = group.get("text_embedding")
        self.text_embedding: NDArray[np.float32] | None = None if embedding is None else embedding[...]

    def __len__(self) -> int:
        return len(self.time_s)


class Shard:
    """An open shard file. Raises InputError, naming the file, for anything that is not one."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.file = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise InputError(Problem(path, f"a readable feature shard ({error})")) from error
        try:
            self._check()
        except BaseException:
            self.file.close()
            raise

    def _check(self) -> None:
        attrs = self.file.attrs
        if attrs.get("format") != FORMAT:
            raise InputError(
                Problem(self.path, f"an HDF5 file of format {FORMAT}", value=attrs.get("format", "none"))
            )
        if attrs.get("format_version") != FORMAT_VERSION:
            raise InputError(
                Problem(
                    self.path, f"format version {FORMAT_VERSION}", value=attrs.get("format_version", "none")
                )
            )
        missing = [a for a in ("movie_id", "identity", "config", "models", "source", "fps") if a not in attrs]
        missing += [d for d in ("time_s", "source_frame", "windows", "persons") if d not in self.file]
        if missing:
            raise InputError(Problem(self.path, f"a complete shard; it lacks {', '.join(missing)}"))
        _refuse_foreign_storage(self.file, self.path)
        for person_id in self.file["persons"]:
            lacking = [s for s in SERIES if s not in self.file[f"persons/{person_id}"]]
            if lacking:
                raise InputError(
                    Problem(self.path, f"all series of person {person_id}; it lacks {', '.join(lacking)}")
                )

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def movie_id(self) -> str:
        return str(self.file.attrs["movie_id"])

    @property
    def fps(self) -> float | None:
        return float(self.file.attrs["fps"]) or None

    def json(self, name: str) -> dict[str, Any]:
        """One of the structured attributes: identity, config, models, versions, source."""
        return json.loads(self.file.attrs[name])

    @property
    def person_ids(self) -> list[str]:
        return list(self.file["persons"])

    def person(self, person_id: str) -> PersonSeries:
        if person_id not in self.file["persons"]:
            raise InputError(
                Problem(
                    self.path, f"one of {', '.join(self.person_ids)}", column="person_id", value=person_id
                )
            )
        return PersonSeries(self.movie_id, person_id, self.file)

    def windows(self) -> list[dict[str, Any]]:
        """The window table, one mapping per row."""
        table = self.file["windows"]
        columns = {
            name: table[name].asstr()[...] if h5py.check_string_dtype(table[name].dtype) else table[name][...]
            for name in table
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def window(self, row: dict[str, Any]) -> Window:
        """The stored rows behind a row of the window table: of those persons that are promised in it."""
        start, stop = int(row["start"]), int(row["stop"])
        persons = {}
        for person_id in self.person_ids:
            group = self.file[f"persons/{person_id}"]
            if group["status"][start:stop].any():
                persons[person_id] = PersonRows(**{name: group[name][start:stop] for name in SERIES})
        return Window(self.movie_id, int(row["index"]), start, stop, row["id"], persons, row["stage"],
                      row["reason"], int(row["decoder_messages"]))  # fmt: skip


class FeaturesReader:
    """All finished shards of a features folder."""

    def __init__(self, root: Path):
        self.folder = FeaturesFolder(root)
        if not self.folder.config.is_file():
            raise InputError(
                Problem(root, "a features folder written by `rhas extract` (config.json is not there)")
            )

    @property
    def movie_ids(self) -> list[str]:
        return sorted(p.stem for p in self.folder.shards.glob("*.h5") if not p.name.startswith("."))

    def shard(self, movie_id: str) -> Shard:
        return Shard(self.folder.shard(movie_id))

    def person(self, movie_id: str, person_id: str) -> PersonSeries:
        """The series of one person; its file stays open as long as the series is in use."""
        return self.shard(movie_id).person(person_id)

    def persons(self) -> Iterator[PersonSeries]:
        for movie_id in self.movie_ids:
            with self.shard(movie_id) as shard:
                for person_id in shard.person_ids:
                    yield shard.person(person_id)


def _refuse_foreign_storage(file: h5py.File, path: Path) -> None:
    """A shard holds its data itself: links, external and virtual storage could read any file of the user's."""

    def check(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise InputError(
                    Problem(path, "data stored in the file itself", value=f"link {group.name}/{name}")
                )
            child = group[name]
            if isinstance(child, h5py.Group):
                check(child)
            elif isinstance(child, h5py.Dataset) and (child.external or child.is_virtual):
                raise InputError(
                    Problem(path, "data stored in the file itself", value=f"external {child.name}")
                )

    check(file)
