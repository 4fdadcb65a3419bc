"""Everything that pass one saw in a movie, put together from its windows: what all later steps read.

Shapes: T samples of the movie, S of them looked at, P persons (sentences), O sights: one person seen in one sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.thumbnails import difference
from rhas.manifests.shards.seen import Seen


@dataclass(frozen=True)
class Sights:
    """`sample` [S] ascending; the others by sight: `at` [O] ascending, a place in `sample`; `box` [O, 4], the best one
    whatever the sentence; `score` [O, P] of each sentence, 0 where it has no box there, and `own` [O, P, 4] that box;
    `look` [O, h, w, 3] uint8; `track` [O] which tracklet of a tracker's it belongs to, -1 for none."""

    sample: NDArray[np.int64]
    at: NDArray[np.int64]
    box: NDArray[np.float64]
    score: NDArray[np.float64]
    own: NDArray[np.float64]
    look: NDArray[np.uint8]
    track: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.at)


def together(seen: Mapping[int, Seen], persons: int) -> Sights:
    """The sights of all windows, in order."""
    windows = [seen[index].arrays for index in sorted(seen)]
    samples = np.cumsum([0, *(len(own["sample"]) for own in windows)])
    sights = np.cumsum([0, *(len(own["look"]) for own in windows)])

    def all_of(name: str, offsets: NDArray[np.int64] | None = None) -> NDArray:
        parts = [own[name] + (0 if offsets is None else offsets[i]) for i, own in enumerate(windows)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    who_N, at_N, score_N = all_of("who", sights), all_of("at", samples), all_of("score").astype(np.float64)
    whom_N, box_N4 = all_of("whom"), all_of("box").astype(np.float64).reshape(-1, 4)
    count = int(sights[-1])
    at = np.zeros(count, np.int64)
    at[who_N] = at_N
    box, best = np.zeros((count, 4)), np.full(count, -1.0)
    score, own = np.zeros((count, persons)), np.full((count, persons, 4), np.nan)
    for n in range(len(who_N)):
        o, p = who_N[n], whom_N[n]
        if score_N[n] > best[o]:
            best[o], box[o] = score_N[n], box_N4[n]
        if score_N[n] > score[o, p]:
            score[o, p], own[o, p] = score_N[n], box_N4[n]
    look = all_of("look") if count else np.zeros((0, 1, 1, 3), np.uint8)
    return Sights(all_of("sample"), at, box, score, own, look)


def changes_of(seen: Mapping[int, Seen], samples: int) -> NDArray[np.float64]:
    """[T] how much the picture of each sample differs from that of the last decoded one before; NaN where unknown.

    Over the border of two windows it is told by the thumbnails that they keep.
    """
    change = np.full(samples, np.nan)
    last: NDArray[np.uint8] | None = None
    stop = 0
    for index in sorted(seen):
        window = seen[index]
        own, ends, decoded = (window.arrays[name] for name in ("change", "ends", "decoded"))
        change[window.start : window.stop] = own
        if window.start != stop:
            last = None
        stop = window.stop
        if len(ends):
            if last is not None:
                change[window.start + int(decoded.argmax())] = difference(last, ends[0])
            last = ends[1]
    return change
