"""Samples: one window of one person, its features read from the shard when it is asked for, or kept in memory.

A frame without features holds zeros, and its mask says so: zeros alone never stand for anything. Files stay open
between samples, a bounded number in each process, so that DataLoader workers never share one. What is kept in memory
is what was read, and holds as long as the file's stamp is the same.

Shapes: T frames, F feature size (of all query tokens, where samples have them), C classes, D size of a sentence.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.memory import available_bytes
from rhas.manifests.shards.reader import PersonSeries, Shard, Stamp, reading, stamp_of
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.boxes import box_channels
from rhas.train.data.config import DataConfig
from rhas.train.data.rasterise import Bools
from rhas.train.data.targets import boundary_target, soft_labels
from rhas.train.data.windows import Window, disjoint

MOST_OPEN_SHARDS = 1024  # per process, if it may open so many files: some 100 KB each
MEMORY_SHARE = 0.25  # of what is available, for features that are kept

Halves = NDArray[np.float16]
Floats = NDArray[np.float32]
_AS_IT_IS = DataConfig()
Rows = Halves | Floats | tuple[int, int]  # of one stream [T, F]; of zeros, only their shape


@dataclass(frozen=True, eq=False)
class Sample:
    """One window of a person. Features are zero where their mask is False."""

    name: str  # movie/person/first sample
    holistic: Tensor  # [T, F] float32
    partial: Tensor  # [T, F] float32
    has_holistic: Tensor  # [T] bool
    has_partial: Tensor  # [T] bool
    labels: Tensor  # [T, C] bool
    valid: Tensor  # [T] bool: promised, labelled and not N/A; whether features are there is another matter
    boundary: Tensor | None  # [T] float32
    soft_labels: Tensor | None  # [T, C] float32
    sentence: Tensor | None = None  # [D] float32


@dataclass(frozen=True)
class _Read:
    """A window's rows of both streams, where the second counts, and what is told of boxes [T, X]."""

    holistic: Rows
    partial: Rows
    has_holistic: Bools
    has_partial: Bools
    channels: Tensor | None
    sentence: Tensor | None


class SampleSet(torch.utils.data.Dataset[Sample]):
    """The samples of one split, in the order of movie, person and start.

    What is made from labels is computed anew each time: milliseconds. The curves' widths are in frames; None leaves
    one out. `keep`: features stay in memory once they were read (see `fits_in_memory`). Of `config` counts what samples
    hold: boxes, behind the features; all query tokens, or their mean; the sentence. Frames whose box isn't sure enough
    have no partial features.
    """

    def __init__(
        self, windows: Sequence[Window], vocabulary: Vocabulary, shards: OpenShards,
        boundary_sigma: float | None = None, soft_sigma: float | None = None, keep: bool = False,
        config: DataConfig = _AS_IT_IS,
    ):  # fmt: skip
        self.windows = tuple(windows)
        self.vocabulary = vocabulary
        self.boundary_sigma, self.soft_sigma = boundary_sigma, soft_sigma
        self.keep = keep
        self.config = config
        self._shards = shards
        self._kept: dict[int, tuple[Stamp, _Read]] = {}

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        """Raises InputError, naming movie, person and frame, where features are not as the status promises."""
        window = self.windows[index]
        read = self._read(index)
        channels_TX = () if read.channels is None else (read.channels,)
        holistic, partial = (
            torch.cat([_tensor(rows), *channels_TX], 1) for rows in (read.holistic, read.partial)
        )
        labels_TC, valid_T = map(torch.from_numpy, window.labels(self.vocabulary))
        boundary_sigma, soft_sigma = self.boundary_sigma, self.soft_sigma
        return Sample(
            name=window.name,
            holistic=holistic,
            partial=partial,
            has_holistic=torch.from_numpy(read.has_holistic),
            has_partial=torch.from_numpy(read.has_partial),
            labels=labels_TC,
            valid=valid_T,
            boundary=None if boundary_sigma is None else boundary_target(labels_TC, valid_T, boundary_sigma),
            soft_labels=None if soft_sigma is None else soft_labels(labels_TC, valid_T, soft_sigma),
            sentence=read.sentence,
        )

    def labels(self) -> Iterator[tuple[Bools, Bools]]:
        """(labels [T, C], valid [T]) of each sample; reads no features."""
        return (window.labels(self.vocabulary) for window in self.windows)

    def disjoint(self, frames: int) -> SampleSet:
        """The same with windows of at most so many frames, none of which overlap."""
        apart = disjoint(self.windows, frames)
        return SampleSet(
            apart, self.vocabulary, self._shards, self.boundary_sigma, self.soft_sigma, self.keep, self.config
        )

    def read_ahead(self) -> None:
        """Reads all that is to be kept. Processes that are forked then have it too, and share its memory."""
        if self.keep:
            for index in range(len(self)):
                if index not in self._kept:
                    check()
                    self[index]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept: another process reads it anew."""
        return {**vars(self), "_kept": {}}

    def _read(self, index: int) -> _Read:
        """What the shard holds of a window. Raises InputError if it isn't what it was."""
        window = self.windows[index]
        stamp = self._shards.stamp(window.clip.shard)
        if index in self._kept and self._kept[index][0] == stamp:
            return self._kept[index][1]
        series = self._shards.person(window.clip.shard, window.clip.person_id)
        if not np.array_equal(series.status[window.start : window.stop], window.status):
            expected = (
                f"person {window.clip.person_id} as when training began; the features were changed since"
            )
            raise InputError(Problem(window.clip.shard, expected))
        found = _read_window(series, window, self.config)
        if self.keep:
            self._kept[index] = stamp, found
        return found


def _tensor(rows: Rows) -> Tensor:
    """Features [T, F] float32, zero where there are none."""
    return torch.zeros(rows) if isinstance(rows, tuple) else torch.from_numpy(rows.astype(np.float32))


def _read_window(series: PersonSeries, window: Window, config: DataConfig) -> _Read:
    boxes, all_tokens = config.boxes, config.tokens == "all"
    has_holistic_T = np.isin(window.status, HAS_HOLISTIC) & ("holistic" in series.streams)
    boxed_T = np.isin(window.status, HAS_PARTIAL)
    channels = None
    if boxes.channels or boxes.least_sure > 0:
        with reading(window.clip.shard, f"boxes of person {window.clip.person_id}"):
            sure_T = series.sure[window.start : window.stop]
            box_T4 = series.box[window.start : window.stop]
        boxed_T &= ~(sure_T < boxes.least_sure)  # who has features, but no box, is none of ours
        if boxes.channels:
            channels = box_channels(box_T4, sure_T, boxed_T)
    has_partial_T = boxed_T & ("partial" in series.streams)
    return _Read(
        _features(series, window, "holistic", has_holistic_T, all_tokens),
        _features(series, window, "partial", has_partial_T, all_tokens),
        has_holistic_T,
        has_partial_T,
        channels,
        _sentence(series, window) if config.sentence else None,
    )


def _sentence(series: PersonSeries, window: Window) -> Tensor:
    clip, vector = window.clip, series.text_embedding
    if vector is None or not np.isfinite(vector).all():
        expected = f"the sentence's vector of person {clip.person_id}, of finite numbers"
        raise InputError(Problem(clip.shard, expected, value="none" if vector is None else "NaN or infinity"))
    return torch.from_numpy(vector.astype(np.float32))


def _features(series: PersonSeries, window: Window, stream: str, has_T: Bools, all_tokens: bool) -> Rows:
    """As stored; where all query tokens are, their mean, or one after the other."""
    if not has_T.any():
        shape = getattr(series, stream).shape[1:]
        return len(has_T), prod(shape) if all_tokens else shape[-1]
    clip = window.clip
    person = f"person {clip.person_id}"
    with reading(clip.shard, f"{stream} of {person}, samples {window.start} to {window.stop}"):
        rows = getattr(series, stream)[window.start : window.stop]
    features_TF: Halves | Floats = rows
    if rows.ndim > 2:
        features_TF = rows.reshape(len(rows), -1) if all_tokens else rows.mean(axis=1, dtype=np.float32)
    broken_T = has_T & ~np.isfinite(features_TF).all(axis=1)
    if broken_T.any():
        t = int(broken_T.argmax())
        where = f"{person}, sample {window.start + t} ({window.time_s[t]:.3f} s), of movie {clip.movie_id}"
        expected = f"finite {stream} features where the status promises them"
        got = f"NaN or infinity in {broken_T.sum()} frames, first for {where}"
        raise InputError(Problem(clip.shard, expected, value=got))
    features_TF[~has_T] = 0
    return features_TF


def fits_in_memory(windows: Iterable[Window], feature_size: int, means: bool, processes: int = 1) -> bool:
    """Whether the features of these windows are at most a quarter of the memory that there is for each process.

    `means`: those over query tokens are kept as float32, all else as it is stored.
    """
    available = available_bytes()
    frames = sum(
        len(window.status)
        for window in windows
        for has in (HAS_HOLISTIC, HAS_PARTIAL)
        if np.isin(window.status, has).any()
    )
    needed = frames * feature_size * (4 if means else 2)
    return available is not None and needed <= MEMORY_SHARE * available / processes


class OpenShards:
    """The shards read last, kept open: at most so many, and in each process its own.

    HDF5 files must not be used across a fork, nor can they be sent to another process.
    """

    def __init__(self, most: int | None = None):
        """`most`: by default a quarter of the files that a process may have open."""
        self.most = most or min(MOST_OPEN_SHARDS, max(16, getrlimit(RLIMIT_NOFILE)[0] // 4))
        self._process = os.getpid()
        self._open: OrderedDict[Path, tuple[Stamp, Shard, dict[str, PersonSeries]]] = OrderedDict()
        self._first: dict[Path, tuple[Stamp, list[str]]] = {}  # what was in a file when it was first opened

    def stamp(self, path: Path) -> Stamp:
        """What changes when a shard does. Raises InputError, naming the file, without one."""
        return stamp_of(path)

    def person(self, path: Path, person_id: str) -> PersonSeries:
        """The series of a person; to be read before the next call, which may close its file.

        A file that was changed is opened again. Raises InputError, naming the file, when it isn't the shard of such a
        person, or holds other features than when it was opened first.
        """
        if self._process != os.getpid():
            self._process, self._open = os.getpid(), OrderedDict()
        stamp = self.stamp(path)
        if path in self._open and self._open[path][0] != stamp:
            self._open.pop(path)[1].file.close()
        if path not in self._open:
            self._open[path] = stamp, self._same(path, stamp), {}
            if len(self._open) > self.most:
                _, (_, shard, _) = self._open.popitem(last=False)
                shard.file.close()
        self._open.move_to_end(path)
        _, shard, series = self._open[path]
        if person_id not in series:
            series[person_id] = shard.person(person_id)
        return series[person_id]

    def _same(self, path: Path, stamp: Stamp) -> Shard:
        """The file opened. Raises InputError if it holds other windows than when it was opened first."""
        shard = Shard(path, often=True)
        if path not in self._first or self._first[path][0] != stamp:
            digests = [row["digest"] for row in shard.windows()]
            _, before = self._first.setdefault(path, (stamp, digests))
            if digests != before:
                shard.file.close()
                raise InputError(
                    Problem(path, "features as when they were first read; they were changed since")
                )
            self._first[path] = stamp, before
        return shard

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["most"])  # type: ignore[misc]
