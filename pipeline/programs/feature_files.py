"""Features of persons as Parquet files, a movie each, or as tar files that WebDataset reads, of about a gibibyte.

In: `PersonRecord`s, movie by movie. Out: files in a folder for each split, whole or not there. Rows are copied some at
a time, so that memory doesn't grow with a movie's length; numbers are the shard's to the bit.

Shapes: T frames of the movie, n of them at a time, F feature size.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import written_atomically
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.reader import PersonSeries, reading
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Person
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.rasterise import rasterise

ROWS = 4096  # read at a time, and a group of rows in Parquet
TAR_BYTES = 1 << 30
STATUSES = [status.name.lower() for status in FrameStatus]
_ARRAYS = ("time_s", "source_frame", "status", "holistic", "partial", "box", "score", "sure")


@dataclass(frozen=True)
class PersonRecord:
    """A person's series with what is said of them; `intervals` is None where there are no labels at all."""

    person: Person
    split: str
    shard: Path
    series: PersonSeries
    intervals: Sequence[Interval] | None
    vocabulary: Vocabulary

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows [n, …] of a series. Raises InputError, naming the shard, where they are damaged."""
        with reading(self.shard, f"{name} of person {self.person.person_id}"):
            return np.asarray(getattr(self.series, name)[start:stop])


class ParquetFiles:
    """data/SPLIT/MOVIE_ID.parquet: a row for each frame of each person."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._open = ExitStack()
        self._writers: dict[str, Any] = {}  # by split, of one movie
        self._movie_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, record: PersonRecord) -> None:
        """The persons of a movie come one after another."""
        import pyarrow.parquet as parquet

        if record.person.movie_id != self._movie_id:
            self._open.close()
            self._writers, self._movie_id = {}, record.person.movie_id
        schema = _schema(record.series.holistic.shape[1:])
        if record.split not in self._writers:
            path = self.folder / record.split / f"{file_name(self._movie_id)}.parquet"
            path.parent.mkdir(exist_ok=True)
            file = self._open.enter_context(written_atomically(path))
            self._writers[record.split] = self._open.enter_context(parquet.ParquetWriter(file, schema))
        for start in range(0, len(record.series), ROWS):
            self._writers[record.split].write_table(_table(record, schema, start, start + ROWS))


def _schema(shape: tuple[int, ...]) -> Any:
    import pyarrow as pa

    feature: Any = pa.float16()
    for length in reversed(shape):
        feature = pa.list_(feature, length)
    return pa.schema(
        [
            ("movie_id", pa.string()), ("person_id", pa.string()), ("reference", pa.string()), ("split", pa.string()),
            ("time_s", pa.float64()), ("source_frame", pa.int64()), ("status", pa.string()), ("holistic", feature),
            ("partial", feature), ("box", pa.list_(pa.float32(), 4)), ("score", pa.float32()), ("sure", pa.float32()),
            ("actions", pa.list_(pa.string())), ("absent", pa.bool_()),
        ]
    )  # fmt: skip


def _table(record: PersonRecord, schema: Any, start: int, stop: int) -> Any:
    import pyarrow as pa

    person = record.person
    time_s = record.rows("time_s", start, stop)
    actions, absent = _labels(record, time_s)
    said = {
        "movie_id": person.movie_id,
        "person_id": person.person_id,
        "reference": person.reference,
        "split": record.split,
    }
    columns: dict[str, Any] = {name: [text] * len(time_s) for name, text in said.items()}
    columns |= {"time_s": time_s, "source_frame": record.rows("source_frame", start, stop)}
    columns["status"] = [STATUSES[status] for status in record.rows("status", start, stop).tolist()]
    columns |= {"actions": actions, "absent": absent}
    arrays = []
    for entry in schema:
        if entry.name in columns:
            arrays.append(pa.array(columns[entry.name], entry.type))
        else:
            arrays.append(_with_nulls(record.rows(entry.name, start, stop), entry.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _with_nulls(rows: NDArray[Any], kind: Any) -> Any:
    """Rows [n, …] as Arrow has them, null where they are NaN."""
    import pyarrow as pa

    missing = np.isnan(rows.reshape(len(rows), -1)).all(axis=1)
    if rows.ndim == 1:
        return pa.array(rows, kind, mask=missing)
    flat = pa.array(rows.reshape(-1))
    for depth, length in enumerate(reversed(rows.shape[1:])):
        outermost = depth == rows.ndim - 2
        flat = pa.FixedSizeListArray.from_arrays(flat, length, mask=pa.array(missing) if outermost else None)
    return flat.cast(kind)


def _labels(
    record: PersonRecord, time_s: NDArray[np.float64]
) -> tuple[list[list[str] | None], list[bool | None]]:
    """What each frame's person does, and whether they are away; None where nobody said."""
    if not record.intervals:
        return [None] * len(time_s), [None] * len(time_s)
    labels_TC, present_T = rasterise(record.intervals, time_s, record.vocabulary)
    names = record.vocabulary.actions
    actions = [
        [names[c] for c in np.flatnonzero(own)] if present else None
        for own, present in zip(labels_TC, present_T.tolist(), strict=True)
    ]
    return actions, (~present_T).tolist()


class TarFiles:
    """data/SPLIT/000000.tar …: a person's arrays, and what is said of them, under one number."""

    def __init__(self, folder: Path, tar_bytes: int = TAR_BYTES):
        self.folder = folder
        self.tar_bytes = tar_bytes
        self._open: dict[str, tuple[ExitStack, tarfile.TarFile]] = {}
        self._tars: dict[str, int] = {}
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        for files, _ in self._open.values():
            files.__exit__(*error)

    def add(self, record: PersonRecord) -> None:
        tar = self._tar(record.split)
        # Names are cut at their first dot, and ids may have dots.
        key = f"{self._number:08d}"
        self._number += 1
        about = {
            "movie_id": record.person.movie_id, "person_id": record.person.person_id,
            "reference": record.person.reference, "split": record.split, "statuses": STATUSES,
            "labels": None if record.intervals is None else [[i.action, i.start_s, i.end_s] for i in record.intervals],
        }  # fmt: skip
        said = json.dumps(about, ensure_ascii=False).encode()
        _add(tar, f"{key}.json", len(said), io.BytesIO(said))
        for name in _ARRAYS:
            rows = getattr(record.series, name)
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head, {"descr": rows.dtype.str, "fortran_order": False, "shape": rows.shape}
            )
            size = head.tell() + rows.dtype.itemsize * int(np.prod(rows.shape))
            _add(tar, f"{key}.{name}.npy", size, _Pieces(_bytes(record, name, head.getvalue())))

    def _tar(self, split: str) -> tarfile.TarFile:
        if split in self._open and self._open[split][1].offset >= self.tar_bytes:
            self._open.pop(split)[0].close()
        if split not in self._open:
            number = self._tars.get(split, 0)
            self._tars[split] = number + 1
            path = self.folder / split / f"{number:06d}.tar"
            path.parent.mkdir(exist_ok=True)
            files = ExitStack()
            file = files.enter_context(written_atomically(path))
            # PAX has no limit to names; all that could differ between two exports of the same is left at zero.
            tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  closed with the stack
            files.enter_context(tar)
            self._open[split] = files, tar
        return self._open[split][1]


def _add(tar: tarfile.TarFile, name: str, size: int, file: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, file)


def _bytes(record: PersonRecord, name: str, head: bytes) -> Iterator[bytes]:
    yield head
    for start in range(0, len(record.series), ROWS):
        yield record.rows(name, start, start + ROWS).tobytes()


class _Pieces:
    """A file to read from, of pieces that are made when they are asked for."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        given, self._left = self._left[:size], self._left[size:]
        return given
