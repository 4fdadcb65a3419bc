"""What a shard or a part may consist of, checked before any of its data is read.

In: an open HDF5 file, which may come from anywhere. Out: nothing, or an InputError that names the file and the
place in it. A file of ours holds its data itself, under the names and in the types that
`rhas.manifests.shards.format` lists, checksummed and in no other way encoded, and claims no more than it can hold:
links and virtual or external storage could read any file of the user's, other filters run other code, and a claimed
size would be allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import h5py
import numpy as np

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.names import text_of
from rhas.manifests.shards.format import CHUNK_BYTES, SERIES, WINDOW_COLUMNS, empty_rows
from rhas.manifests.shards.interpolated import NAME
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.cells import is_identifier

TIMES = {"time_s": np.dtype(np.float64), "source_frame": np.dtype(np.int64)}
_ROWS = empty_rows(np.zeros(0, bool), (), FrameStatus.OUTSIDE)
_PERSON = {name: getattr(_ROWS, name).dtype for name in SERIES}
_PERSON |= {"text_embedding": np.dtype(np.float32), NAME: np.dtype(np.uint8)}  # where there are any
_TABLE = {name: None if kind is str else np.dtype(kind) for name, kind in WINDOW_COLUMNS.items()}


def _is_id(name: str) -> bool:
    """Whether a group's name stands for an id that a manifest can have."""
    try:
        return is_identifier(text_of(name))
    except ValueError:
        return False


class Storage:
    """The checks of one file. Raises InputError, and what HDF5 raises for damage."""

    def __init__(self, file: h5py.File, path: Path):
        self.file, self.path = file, path
        self.bytes = path.stat().st_size

    def check_shard(self) -> None:
        """What lacks is told first, since it says most, then what is of another type, and what is stored otherwise."""
        self._check_names(self.file, (*TIMES, "persons", "windows"))
        lacking = self._lacking((*TIMES, "persons", "windows"))
        if "windows" in self.file:
            self._check_names(self._group("windows"), WINDOW_COLUMNS)
        lacking += self._lacking([f"windows/{name}" for name in WINDOW_COLUMNS])
        persons = self._persons()
        for person_id in persons:
            place = f"persons/{person_id}"
            lacking += [
                f"{name} of person {person_id}" for name in SERIES if f"{place}/{name}" not in self.file
            ]
        if lacking:
            raise InputError(Problem(self.path, f"a complete shard; it lacks {', '.join(lacking)}"))
        self._check_datasets("", TIMES, whole=True)
        self._check_datasets("windows/", _TABLE, whole=True)
        for person_id in persons:
            self._check_datasets(f"persons/{person_id}/", _PERSON, whole=False)

    def check_part(self) -> None:
        """The persons' rows of one window, all of them written."""
        self._check_names(self.file, ("persons",))
        for person_id in self._persons():
            self._check_datasets(f"persons/{person_id}/", _PERSON, whole=True)

    def _persons(self) -> list[str]:
        if "persons" not in self.file:
            return []
        persons = self._group("persons")
        self._check_names(persons)
        for name in persons:
            if not _is_id(name):
                raise InputError(Problem(self.path, "ids as a manifest allows them", value=f"person {name}"))
            self._check_names(self._group(f"persons/{name}"), _PERSON)
        return list(persons)

    def _group(self, name: str) -> h5py.Group:
        group = self.file[name]
        if not isinstance(group, h5py.Group):
            raise InputError(Problem(self.path, "a group of this name", value=name))
        return group

    def _check_names(self, group: h5py.Group, known: Iterable[str] | None = None) -> None:
        """Nothing is looked up yet: that would follow a link."""
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(Problem(self.path, "data stored in the file itself", value=f"link {place}"))
            if known is not None and name not in known:
                raise InputError(Problem(self.path, "nothing but what the format names", value=place))

    def _lacking(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.file]

    def _check_datasets(self, place: str, dtypes: Mapping[str, np.dtype | None], whole: bool) -> None:
        for name, dtype in dtypes.items():
            if place + name in self.file:
                self._check_dataset(self.file[place + name], dtype, whole or name == "text_embedding")

    def _check_dataset(self, data: h5py.Dataset, dtype: np.dtype | None, whole: bool) -> None:
        """`dtype`: None for texts, of fixed length. `whole`: it is read at once, and none of it is left unwritten."""
        if not isinstance(data, h5py.Dataset):
            raise InputError(Problem(self.path, "a dataset of this name", value=data.name))
        if data.external or data.is_virtual:
            raise InputError(
                Problem(self.path, "data stored in the file itself", value=f"external {data.name}")
            )
        if data.dtype != dtype if dtype is not None else data.dtype.kind != "S":
            expected = f"{data.name} to be {dtype or 'text of fixed length'}"
            raise InputError(Problem(self.path, expected, value=f"{data.dtype} {data.shape}"))
        stored = data.id.get_create_plist()
        filters = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
        if filters != [h5py.h5z.FILTER_FLETCHER32]:
            expected = f"{data.name} with checksums (fletcher32) and no other filter"
            raise InputError(Problem(self.path, expected, value=f"filters {filters}"))
        # Chunks that no window wrote take no room, so that series may be larger than their file; chunks may not.
        chunk = (data.chunks[0], *data.shape[1:])
        claimed, most = (data.shape, self.bytes) if whole else (chunk, max(CHUNK_BYTES, self.bytes))
        if math.prod(claimed) * data.dtype.itemsize > most:
            expected = f"no more than the {self.bytes} bytes of the file in {data.name}"
            raise InputError(Problem(self.path, expected, value=f"{data.dtype} {data.shape}"))
