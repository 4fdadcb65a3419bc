"""Pictures of some who were seen in a window, on their way from pass two into `people/ID.npz`: a part of their own.

In: which are wanted, and what became of them. Out: `parts/ID/people-*`, whole or not there.

Shapes: N pictures, Q vectors of each, D numbers of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.packed import pack, require, unpack

PART, VERSION = "pictures of a window", 1
ARRAYS: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "crop": (np.int32, (None,)), "end": (np.int64, (None,)), "bytes": (np.uint8, (None,)),
    "vectors": (np.int8, (None, None, None)),
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Pictures that a window's pass two is to make: `crop` [N] of the movie's, the window's `row` [N], `box` [N, 4]."""

    people_id: str
    crop: NDArray[np.int32]
    row: NDArray[np.int64]
    box: NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """Some of a movie's: `crop` [N] which ones, `jpegs` of each, empty where the movie gave no frame; `vectors`
    [N, Q, D], zeros there."""

    people_id: str
    crop: NDArray[np.int32]
    jpegs: tuple[bytes, ...]
    vectors: NDArray[np.int8]


def part_of(folder: FeaturesFolder, movie_id: str, index: int, people_id: str) -> Path:
    return folder.parts(movie_id) / f"people-{index:06d}-{people_id}.npz"


def write_pictures(folder: FeaturesFolder, movie_id: str, index: int, pictures: Pictures) -> None:
    path = part_of(folder, movie_id, index, pictures.people_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray] = {
        "crop": pictures.crop, "end": np.cumsum([len(jpeg) for jpeg in pictures.jpegs], dtype=np.int64),
        "bytes": np.frombuffer(b"".join(pictures.jpegs), np.uint8), "vectors": pictures.vectors,
    }  # fmt: skip
    write_bytes_atomically(path, pack(PART, VERSION, {"people_id": pictures.people_id}, arrays))


def read_pictures(path: Path) -> Pictures | None:
    """None where there are none, or damaged ones, which are removed."""
    try:
        said, arrays = unpack(PART, VERSION, path.read_bytes())
        require(arrays, ARRAYS)
        ends = [0, *arrays["end"].tolist()]
        data = arrays["bytes"].tobytes()
        jpegs = tuple(data[a:b] for a, b in pairwise(ends))
        if len(jpegs) != len(arrays["crop"]) or len(arrays["vectors"]) != len(jpegs):
            raise ValueError("pictures that contradict themselves")
        return Pictures(said["people_id"], arrays["crop"], jpegs, arrays["vectors"])
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        path.unlink(missing_ok=True)
        return None
