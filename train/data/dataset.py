"""A features folder as training data: read, cut into windows and split.

In: the folder and a `DataConfig`. Out: a `Dataset`, whose splits read features as they are asked for. Loading
opens each shard once, for times and statuses.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.clips import read_contents
from rhas.train.data.config import DataConfig
from rhas.train.data.samples import OpenShards, SampleSet, fits_in_memory
from rhas.train.data.splits import split_windows
from rhas.train.data.windows import Window, cut

SHOWN = 10  # names in a line


@dataclass(frozen=True)
class Dataset:
    """Samples by split, what models need to know of them, and all that was left out."""

    splits: dict[str, SampleSet]  # train, val, test
    vocabulary: Vocabulary
    feature_size: int  # F of the folder; models may get boxes besides (`DataConfig.boxes`)
    tokens: int  # query tokens of a frame, if samples have all of them; else 1
    unlabelled: tuple[str, ...]  # movie/person of those skipped for want of labels
    lost_movies: tuple[str, ...]  # movie_ids that could not be extracted, as failures.csv records
    left_out_frames: int  # of those who are there for fewer than `min_frames`
    unsplit_movies: tuple[str, ...]  # movie_ids that a fold has in neither half
    without_features: dict[
        str, int
    ]  # promised frames that lack one or both features, by status; they stay in
    warnings: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """What was left out, or is only half there, as data.json holds it."""
        return {
            "lost_movies": list(self.lost_movies),
            "unlabelled": list(self.unlabelled),
            "frames_of_short_windows": self.left_out_frames,
            "movies_in_no_split": list(self.unsplit_movies),
            "frames_without_features": self.without_features,
        }

    def told(self) -> Iterator[str]:
        """Lines for whoever trains: how many samples there are, and what is not among them, or not whole."""
        for name, samples in self.splits.items():
            movies = {window.clip.movie_id: None for window in samples.windows}
            persons = len({window.place[:2] for window in samples.windows})
            which = f": {_some(tuple(movies))}" if name == "val" else ""
            yield f"{name}: {len(samples)} samples of {persons} persons in {len(movies)} movies{which}"
        if self.lost_movies:
            yield f"left out: {_counted(self.lost_movies, 'movies that could not be extracted')}"
        if self.unlabelled:
            yield f"left out: {_counted(self.unlabelled, 'persons without labels')}"
        if self.left_out_frames:
            yield f"left out: {self.left_out_frames} frames of persons who are there for fewer than data.min_frames"
        if self.unsplit_movies:
            yield f"left out: {_counted(self.unsplit_movies, 'movies that are in no half of the fold')}"
        for status, frames in self.without_features.items():
            lacking = "partial features" if FrameStatus[status.upper()] in HAS_HOLISTIC else "features"
            yield f"{frames} frames have no {lacking} ({status}); zeros stand for them"
        yield from (f"warning: {warning}" for warning in self.warnings)


def load_dataset(features: Path, config: DataConfig, boundary_sigma: float | None = None) -> Dataset:
    """Everything that there is to learn from and to measure on; `boundary_sigma` as in `SampleSet`.

    Raises one InputError with all that is wrong with the folder, or one for splits that are empty or not apart.
    """
    contents = read_contents(features, config)
    windows, left_out = cut(contents.clips, config.window, config.min_frames)
    sides = split_windows(windows, config, features)
    tokens = contents.tokens if config.tokens == "all" else 1
    shards, used = OpenShards(), {name: _overlapping(own, config, name) for name, own in sides.items()}
    # What is read again and again: the test split is read once.
    keep = config.in_memory is True or (
        config.in_memory == "auto"
        and fits_in_memory(
            [*used["train"], *used["val"]],
            contents.feature_size * tokens,
            means=contents.tokens > 1 and tokens == 1,
            processes=processes_here(),
        )
    )
    splits = {
        name: SampleSet(
            own,
            contents.vocabulary,
            shards,
            boundary_sigma,
            config.soft_sigma,
            keep and name != "test",
            config,
        )
        for name, own in used.items()
    }
    split_up = {window.clip.movie_id for own in sides.values() for window in own}
    return Dataset(
        splits=splits,
        vocabulary=contents.vocabulary,
        feature_size=contents.feature_size,
        tokens=tokens,
        unlabelled=contents.unlabelled,
        lost_movies=contents.lost_movies,
        left_out_frames=left_out,
        unsplit_movies=tuple(sorted({window.clip.movie_id for window in windows} - split_up)),
        without_features=_without_features(window for own in sides.values() for window in own),
        warnings=contents.warnings,
    )


def processes_here() -> int:
    """Of a distributed run, on this machine: each keeps features of its own."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def _overlapping(windows: Sequence[Window], config: DataConfig, split: str) -> Sequence[Window]:
    """The windows of a split as they are used: whole clips, cut anew with overlap where there is one."""
    if not (overlap := config.overlap_in(split)):
        return windows
    return cut(list({window.clip: None for window in windows}), config.window, config.min_frames, overlap)[0]


def _without_features(windows: Iterable[Window]) -> dict[str, int]:
    counts: Counter[int] = Counter()
    for window in windows:
        counts.update(window.status.tolist())
    lacking = (
        status for status in FrameStatus if status != FrameStatus.OUTSIDE and status not in HAS_PARTIAL
    )
    return {status.name.lower(): counts[status] for status in lacking if counts[status]}


def _counted(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    """The first of them; all are in data.json."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
