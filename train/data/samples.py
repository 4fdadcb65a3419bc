"""Samples: one window of one person, its features read from the shard when it is asked for.

A frame without features holds zeros, and its mask says so: zeros alone never stand for anything. Files stay open
between samples, a bounded number in each process, so that DataLoader workers never share one.

Shapes: T frames, F feature size, C classes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import PersonSeries, Shard, reading
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.rasterise import Bools
from rhas.train.data.targets import boundary_target, soft_labels
from rhas.train.data.windows import Window, disjoint

MOST_OPEN_SHARDS = 16  # per process; HDF5 caches up to 1 MiB for each series that was read from them


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


class SampleSet(torch.utils.data.Dataset[Sample]):
    """The samples of one split, in the order of movie, person and start.

    What is made from labels is computed anew each time: milliseconds, beside reading the features. The curves'
    widths are in frames; None leaves one out.
    """

    def __init__(
        self, windows: Sequence[Window], vocabulary: Vocabulary, shards: OpenShards,
        boundary_sigma: float | None = None, soft_sigma: float | None = None,
    ):  # fmt: skip
        self.windows = tuple(windows)
        self.vocabulary = vocabulary
        self.boundary_sigma, self.soft_sigma = boundary_sigma, soft_sigma
        self._shards = shards

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        """Raises InputError, naming movie, person and frame, where features are not as the status promises."""
        window = self.windows[index]
        has_holistic_T = np.isin(window.status, HAS_HOLISTIC)
        has_partial_T = np.isin(window.status, HAS_PARTIAL)
        labels_TC, valid_T = map(torch.from_numpy, window.labels(self.vocabulary))
        boundary_sigma, soft_sigma = self.boundary_sigma, self.soft_sigma
        return Sample(
            name=window.name,
            holistic=torch.from_numpy(self._features(window, "holistic", has_holistic_T)),
            partial=torch.from_numpy(self._features(window, "partial", has_partial_T)),
            has_holistic=torch.from_numpy(has_holistic_T),
            has_partial=torch.from_numpy(has_partial_T),
            labels=labels_TC,
            valid=valid_T,
            boundary=None if boundary_sigma is None else boundary_target(labels_TC, valid_T, boundary_sigma),
            soft_labels=None if soft_sigma is None else soft_labels(labels_TC, valid_T, soft_sigma),
        )

    def labels(self) -> Iterator[tuple[Bools, Bools]]:
        """(labels [T, C], valid [T]) of each sample; reads no features."""
        return (window.labels(self.vocabulary) for window in self.windows)

    def disjoint(self, frames: int) -> SampleSet:
        """The same with windows of at most so many frames, none of which overlap."""
        apart = disjoint(self.windows, frames)
        return SampleSet(apart, self.vocabulary, self._shards, self.boundary_sigma, self.soft_sigma)

    def _features(self, window: Window, stream: str, has_T: Bools) -> NDArray[np.float32]:
        """[T, F], zero where there is no feature; the mean over the query tokens where all are stored."""
        clip = window.clip
        person = f"person {clip.person_id}"
        series = self._shards.person(clip.shard, clip.person_id)
        if not np.array_equal(series.status[window.start : window.stop], window.status):
            expected = f"{person} as when training began; the features were changed since"
            raise InputError(Problem(clip.shard, expected))
        with reading(clip.shard, f"{stream} of {person}, samples {window.start} to {window.stop}"):
            rows = getattr(series, stream)[window.start : window.stop]
        features_TF = rows.astype(np.float32) if rows.ndim == 2 else rows.mean(axis=1, dtype=np.float32)
        broken_T = has_T & ~np.isfinite(features_TF).all(axis=1)
        if broken_T.any():
            t = int(broken_T.argmax())
            where = (
                f"{person}, sample {window.start + t} ({window.time_s[t]:.3f} s), of movie {clip.movie_id}"
            )
            expected = f"finite {stream} features where the status promises them"
            got = f"NaN or infinity in {broken_T.sum()} frames, first for {where}"
            raise InputError(Problem(clip.shard, expected, value=got))
        features_TF[~has_T] = 0
        return features_TF


class OpenShards:
    """The shards read last, kept open: at most so many, and in each process its own.

    HDF5 files must not be used across a fork, nor can they be sent to another process.
    """

    def __init__(self, most: int = MOST_OPEN_SHARDS):
        self.most = most
        self._process = os.getpid()
        self._open: OrderedDict[Path, tuple[Shard, dict[str, PersonSeries]]] = OrderedDict()

    def person(self, path: Path, person_id: str) -> PersonSeries:
        """The series of a person; to be read before the next call, which may close its file.

        Raises InputError, naming the file, when it isn't the shard of such a person.
        """
        if self._process != os.getpid():
            self._process, self._open = os.getpid(), OrderedDict()
        if path not in self._open:
            self._open[path] = Shard(path), {}
            if len(self._open) > self.most:
                _, (shard, _) = self._open.popitem(last=False)
                shard.file.close()
        self._open.move_to_end(path)
        shard, series = self._open[path]
        if person_id not in series:
            series[person_id] = shard.person(person_id)
        return series[person_id]

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["most"])  # type: ignore[misc]
