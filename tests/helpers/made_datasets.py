"""Small made data sets in the layouts that others hand theirs out in, for tests of the imports."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("background", "cut tomato", "add_oil")
FEATURES = 6


def write_mstcn(
    root: Path,
    videos: Mapping[str, Sequence[int]],
    folds: Mapping[int, tuple[Sequence[str], Sequence[str]]] | None = None,
    classes: Sequence[str] = CLASSES,
    extra: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """A folder in MS-TCN's layout: class indices by video, (train, test) by fold; returns the features [F, T].

    `extra`: by how many frames a video's features are longer than its truth.
    """
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "mapping.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes)))
    rng = np.random.default_rng(0)
    features = {}
    for name, truth in videos.items():
        frames = len(truth) + (extra or {}).get(name, 0)
        features[name] = rng.standard_normal((FEATURES, frames)).astype(np.float32)
        np.save(root / "features" / f"{name}.npy", features[name])
        lines = "".join(f"{classes[index]}\n" for index in truth)
        (root / "groundTruth" / f"{name}.txt").write_text(lines)
    names = list(videos)
    for fold, sides in (folds or {1: (names[:-1], names[-1:])}).items():
        for side, own in zip(("train", "test"), sides, strict=True):
            path = root / "splits" / f"{side}.split{fold}.bundle"
            path.write_text("".join(f"{name}.txt\n" for name in own))
    return features


def write_multilabel(
    root: Path, videos: Mapping[str, tuple[str, float, Sequence[Sequence[float]]]], rows: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """root/annotations.json of (subset, duration, actions) by video, and root/features of so many rows.

    Returns the features [T, F], which are stored T×1×1×F, as I3D's are.
    """
    (root / "features").mkdir(parents=True, exist_ok=True)
    keys = ("subset", "duration", "actions")
    entries = {name: dict(zip(keys, video, strict=True)) for name, video in videos.items()}
    (root / "annotations.json").write_text(json.dumps(entries))
    rng = np.random.default_rng(0)
    features = {
        name: rng.standard_normal((count, FEATURES)).astype(np.float32) for name, count in rows.items()
    }
    for name, array in features.items():
        np.save(root / "features" / f"{name}.npy", array[:, None, None])
    return features


def write_pickles(root: Path, split: str, actions: Any, ids: Any, references: Any, protocol: int = 4) -> None:
    """The three pickles of a split, whatever they hold."""
    root.mkdir(parents=True, exist_ok=True)
    for what, value in (("actions", actions), ("frame_ids", ids), ("person_ref", references)):
        (root / f"{what}_{split}_rhas.pkl").write_bytes(pickle.dumps(value, protocol))


def write_rhas133(
    root: Path,
    split: str,
    actions: Sequence[Sequence[Any]],
    ids: Sequence[Sequence[Any]] | None = None,
    without_partial: Sequence[int] = (),
    first: int = 0,
    tokens: int | None = 32,
    folder: str | None = None,
    seed: int = 0,
) -> dict[str, list[np.ndarray | None]]:
    """A split of RHAS133: labels by sample and frame; returns the features [T, 32, F] of both streams.

    `first`: the number of the first sample's file; `tokens` None: [T, F]; `folder`: below holistic and partial, instead
    of the authors' names.
    """
    ids = [list(range(len(own))) for own in actions] if ids is None else ids
    write_pickles(root, split, actions, ids, [f"the person {i}" for i in range(len(actions))])
    rng = np.random.default_rng([seed, first, *split.encode()])
    places = {
        "holistic": "RHAS_feature_blipv2" + ("" if split == "train" else f"_{split}"),
        "partial": f"RHAS_feature_blipv2_{split}_grounding_dino",
    }
    features: dict[str, list[np.ndarray | None]] = {}
    for stream, name in places.items():
        place = root / name if folder is None else root / stream / folder
        place.mkdir(parents=True, exist_ok=True)
        features[stream] = []
        for i, own in enumerate(actions):
            if stream == "partial" and i in without_partial:
                features[stream].append(None)
                continue
            shape = (len(own), FEATURES) if tokens is None else (len(own), tokens, FEATURES)
            features[stream].append(rng.standard_normal(shape).astype(np.float32))
            np.save(place / f"{first + i}_blip_feat.npy", features[stream][-1])
    return features
