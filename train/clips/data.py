"""Clips of a folder that `rhas ravar extract` left, in memory, by split.

A clip is some 100 KB; RefAVA's 36 630 are 3.7 GB. Who is recorded as lost is left out and counted; a clip that is
neither there nor recorded makes the folder unfinished.

Shapes: n clips, N query tokens, D features, K detections, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.clip_tokens import (
    ClipFolder,
    clips_id,
    read_arrays,
    read_clip_failures,
    read_movie,
)
from rhas.manifests.tables.clips import Clip, load_clips
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary
from rhas.train.data.rasterise import Bools


@dataclass(frozen=True)
class ClipBatch:
    """What systems take of n clips, and their truth."""

    image_BND: Tensor  # float32
    person_BND: Tensor  # float32, zero where nobody was found
    sentence_BD: Tensor
    grounded_B5: Tensor  # whether somebody was found, and where: x1 y1 x2 y2; zero where nobody was
    boxes_BK4: Tensor
    categories_BK: Tensor  # int64
    labels_BC: Tensor  # float32
    box_B4: Tensor

    def to(self, device: torch.device | str) -> ClipBatch:
        return ClipBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True, eq=False)
class ClipSplit:
    """The clips of a split; tokens in float16, as they are stored."""

    clips: tuple[Clip, ...]
    tensors: ClipBatch

    def __len__(self) -> int:
        return len(self.clips)

    def batch(self, rows: Sequence[int] | Tensor) -> ClipBatch:
        index = torch.as_tensor(rows)
        taken = {name: tensor[index] for name, tensor in vars(self.tensors).items()}
        return ClipBatch(**{name: x.float() if x.dtype == torch.float16 else x for name, x in taken.items()})

    @property
    def labels(self) -> Bools:
        found: Bools = self.tensors.labels_BC.numpy().astype(bool)
        return found

    @property
    def boxes(self) -> np.ndarray:
        found: np.ndarray = self.tensors.box_B4.numpy()
        return found


@dataclass(frozen=True, eq=False)
class ClipData:
    """All of a folder."""

    splits: dict[str, ClipSplit]
    vocabulary: Vocabulary
    names_GD: Tensor
    record: dict[str, Any]  # config.json
    lost: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """N, D and K."""
        tokens, width = self.record["shape"]
        return int(tokens), int(width), int(self.record["clips"]["detections"])


def load_clip_data(root: Path) -> ClipData:
    """Raises one InputError with all that is wrong with the folder."""
    folder = ClipFolder(root)
    record = folder.record()
    vocabulary = load_vocabulary(folder.actions)
    clips = load_clips(folder.clips, vocabulary)
    tokens = dict(_stored(folder, clips, record))
    lost, problems = read_clip_failures(folder.failures), []
    absent = [clip for row, clip in enumerate(clips) if row not in tokens]
    unknown = [clip for clip in absent if (clip.movie_id, clip.person_id, clip.time_s) not in lost]
    if unknown:
        expected = "all clips of clips.csv, or a record of why not: finish the extraction first"
        problems.append(
            Problem(root, expected, value=f"{len(unknown)} are lacking, such as {unknown[0].name}")
        )
    splits = {split: [row for row in tokens if clips[row].split == split] for split in SPLITS}
    problems += [
        Problem(
            folder.clips,
            f"at least one clip to {what}, that isn't lost",
            column="split",
            value=f"none in {split}",
        )
        for split, what in (("train", "train on"), ("val", "choose by"))
        if not splits[split]
    ]
    if problems:
        raise InputError(problems)
    names = read_arrays(folder.names)[0].get("names")
    if names is None or names.ndim != 2 or names.shape[1] != record["shape"][1]:
        raise InputError(Problem(folder.names, f"names [categories, {record['shape'][1]}]"))
    return ClipData(
        {split: _split([clips[row] for row in rows], [tokens[row] for row in rows], vocabulary, record)
         for split, rows in splits.items()},
        vocabulary, torch.from_numpy(names), record, len(absent),
    )  # fmt: skip


Row = dict[str, np.ndarray]


def _stored(folder: ClipFolder, clips: Sequence[Clip], record: dict[str, Any]) -> list[tuple[int, Row]]:
    """Rows of clips.csv with what is stored of them, in their order. Raises InputError for files of other clips."""
    found: dict[int, Row] = {}
    shape, K = tuple(record["shape"]), record["clips"]["detections"]
    categories = len(record["clips"]["categories"])
    for movie_id in dict.fromkeys(clip.movie_id for clip in clips):
        path = folder.movie(movie_id)
        if not path.exists():
            continue
        tokens, said = read_movie(path)
        own = [int(row) for row in tokens.row]
        there = all(0 <= row < len(clips) and clips[row].movie_id == movie_id for row in own)
        if not there or said["clips"] != clips_id(own, [clips[row] for row in own]):
            raise InputError(
                Problem(path, f"clips of {folder.clips.name}: extract anew after it was changed")
            )
        if len(tokens) and (tokens.image.shape[1:] != shape or tokens.boxes.shape[1] != K):
            raise InputError(Problem(path, f"tokens {shape} and {K} boxes, as config.json says"))
        if tokens.categories.max(initial=-1) >= categories or tokens.categories.min(initial=-1) < -1:
            raise InputError(Problem(path, f"categories below {categories}"))
        for at, row in enumerate(own):
            found[row] = {name: array[at] for name, array in vars(tokens).items()}
    return sorted(found.items())


def _split(clips: list[Clip], rows: list[Row], vocabulary: Vocabulary, record: dict[str, Any]) -> ClipSplit:
    (tokens, width), K = record["shape"], record["clips"]["detections"]

    def stacked(name: str, *shape: int) -> np.ndarray:
        return np.stack([row[name] for row in rows]) if rows else np.zeros((0, *shape), np.float32)

    grounded_n4 = stacked("grounded", 4)
    there_n1 = np.isfinite(grounded_n4).all(1, keepdims=True)
    grounded_n5 = np.concatenate([there_n1, np.where(there_n1, grounded_n4, 0)], 1).astype(np.float32)
    person = stacked("person", tokens, width)
    labels = np.zeros((len(clips), len(vocabulary)), np.float32)
    for row, clip in zip(labels, clips, strict=True):
        row[[vocabulary.index(action) for action in clip.actions]] = 1
    box = np.array([clip.box for clip in clips], np.float32).reshape(-1, 4)
    tensors = ClipBatch(
        image_BND=torch.from_numpy(stacked("image", tokens, width)),
        person_BND=torch.from_numpy(np.where(np.isfinite(person), person, 0).astype(person.dtype)),
        sentence_BD=torch.from_numpy(stacked("sentence", width)),
        grounded_B5=torch.from_numpy(grounded_n5),
        boxes_BK4=torch.from_numpy(stacked("boxes", K, 4)),
        categories_BK=torch.from_numpy(stacked("categories", K).astype(np.int64)),
        labels_BC=torch.from_numpy(labels),
        box_B4=torch.from_numpy(box),
    )
    return ClipSplit(tuple(clips), tensors)
