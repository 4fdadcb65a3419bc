"""What pass one saw in a window of a movie, before anybody decided who it was: stored as a part until tracks are made.

    arrays of a window of n samples, of which S were looked at, with N boxes of O persons seen
    change     [n] float32    how much the picture differs from that of the last sample before; NaN: nothing to compare
    decoded    [n] bool       whether the movie gave a frame there
    ends       [2 or 0, 12, 20, 3] uint8   thumbnails of the first and last decoded sample
    sample     [S] int64      the movie's samples that were looked at, ascending
    at         [N] int32      in which of them a box was found
    whom       [N] int32      for whose sentence: a place in the movie's list of persons
    box        [N, 4] float32 x1 y1 x2 y2 as shares of the frame
    score      [N] float32    the detector's
    who        [N] int32      which of the persons seen it shows
    look       [O, h, w, 3] uint8   a small picture of each person seen

    and, where everybody is looked for (setting `tracks.everybody`), of M sights of anybody, whoever was asked for
    all_at     [M] int32      in which of the samples
    all_box    [M, 4] float32
    all_score  [M] float32
    all_colours [M, F] uint8  how they look (rhas.extract.tracks.looks)

    and, where a tracker of another package followed K of them through the window
    tracked       [K, n, 4] float32   boxes, as above; NaN where one isn't seen
    tracked_score [K, n] float32      how sure it is that it is still the same person; NaN without a box
    tracked_look  [K, S, h, w, 3] uint8   small pictures, black without a box

Boxes of one sample are neighbours, and so are its persons seen, and its sights of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.identity import window_id
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.packed import pack, require, unpack

KIND, VERSION = "what was seen in a window", 1
ARRAYS: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "change": (np.float32, (None,)), "decoded": (np.bool_, (None,)), "ends": (np.uint8, (None, None, None, 3)),
    "sample": (np.int64, (None,)), "at": (np.int32, (None,)), "whom": (np.int32, (None,)), "box": (np.float32, (None,
    4)), "score": (np.float32, (None,)), "who": (np.int32, (None,)), "look": (np.uint8, (None, None, None, 3)),
}  # fmt: skip
EVERYBODY: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "all_at": (np.int32, (None,)), "all_box": (np.float32, (None, 4)), "all_score": (np.float32, (None,)),
    "all_colours": (np.uint8, (None, None)),
}  # fmt: skip
TRACKED: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "tracked": (np.float32, (None, None, 4)), "tracked_score": (np.float32, (None, None)),
    "tracked_look": (np.uint8, (None, None, None, None, 3)),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One window; `stage` and `reason` are empty unless frames were lost."""

    movie_id: str
    index: int
    start: int
    stop: int
    window_id: str
    stage: str
    reason: str
    arrays: Mapping[str, NDArray]

    def said(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SAID}

    @classmethod
    def of(cls, said: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Seen:
        """Raises ValueError for what no window can be."""
        everybody, followed = bool(arrays.keys() & EVERYBODY.keys()), "tracked" in arrays
        require(arrays, ARRAYS | (EVERYBODY if everybody else {}) | (TRACKED if followed else {}))
        seen = cls(**{name: said[name] for name in _SAID}, arrays=arrays)
        n, samples, boxes, persons = (len(arrays[name]) for name in ("change", "sample", "at", "look"))
        sample = arrays["sample"]
        sound = (
            seen.stop - seen.start == n == len(arrays["decoded"])
            and (len(arrays["ends"]) == 2) == arrays["decoded"].any()
            and ((sample >= seen.start) & (sample < seen.stop)).all()
            and (np.diff(sample) > 0).all()
            and len({len(arrays[name]) for name in ("at", "whom", "box", "score", "who")}) == 1
            and all(
                not boxes or (arrays[name].min() >= 0 and arrays[name].max() < limit)
                for name, limit in (("at", samples), ("who", persons), ("whom", np.inf))
            )
            and np.isfinite(arrays["box"]).all()
            and np.isfinite(arrays["score"]).all()
            and (not everybody or _sound_everybody(arrays))
            and (not followed or _sound_tracks(arrays, n, samples))
        )
        if not sound:
            raise ValueError(f"window {seen.index} contradicts itself")
        return seen


def _sound_everybody(arrays: Mapping[str, NDArray]) -> bool:
    at = arrays["all_at"]
    return bool(
        len({len(arrays[name]) for name in EVERYBODY}) == 1
        and (np.diff(at) >= 0).all()
        and (not len(at) or (at[0] >= 0 and at[-1] < len(arrays["sample"])))
        and np.isfinite(arrays["all_box"]).all()
        and np.isfinite(arrays["all_score"]).all()
    )


def _sound_tracks(arrays: Mapping[str, NDArray], n: int, samples: int) -> bool:
    box, score, look = (arrays[name] for name in TRACKED)
    there = np.isfinite(score)
    return (
        box.shape[:2] == score.shape
        and score.shape[1] == n
        and look.shape[:2] == (len(score), samples)
        and bool((np.isfinite(box) == there[..., None]).all())
    )


_SAID = ("movie_id", "index", "start", "stop", "window_id", "stage", "reason")


def seen_id(header: MovieHeader, index: int) -> str:
    """Which window it is, as long as nothing that it depends on changes."""
    return window_id(header.identity, *header.bound(index))


def part_of(folder: FeaturesFolder, header: MovieHeader, index: int) -> Path:
    return folder.parts(header.movie_id) / f"seen-{index:06d}-{seen_id(header, index)}.npz"


def write_seen(folder: FeaturesFolder, seen: Seen) -> None:
    """Stores a window. Writing the same twice leaves one."""
    path = folder.parts(seen.movie_id) / f"seen-{seen.index:06d}-{seen.window_id}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, pack(KIND, VERSION, seen.said(), seen.arrays))


def read_seen(path: Path) -> Seen | None:
    """A stored window; None where there is none, or a damaged one, which is removed."""
    try:
        return Seen.of(*unpack(KIND, VERSION, path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        path.unlink(missing_ok=True)
        return None


def fits(header: MovieHeader, seen: Seen, index: int) -> bool:
    """Whether it is this window of this movie."""
    return (seen.index, seen.window_id, (seen.start, seen.stop)) == (
        index, seen_id(header, index), header.bound(index),
    ) and (not len(seen.arrays["whom"]) or seen.arrays["whom"].max() < len(header.persons))  # fmt: skip


def remove_seen(folder: FeaturesFolder, movie_id: str) -> None:
    """Removes all such parts of a movie."""
    for path in folder.parts(movie_id).glob("seen-*"):
        path.unlink(missing_ok=True)
