"""Where one person is in the samples of a movie, as shards hold it: all of their rows but features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.shards.status import FrameStatus


@dataclass(frozen=True)
class PersonBoxes:
    """n samples in a row; see `rhas.manifests.shards.format`."""

    box: NDArray[np.float32]  # [n, 4]
    score: NDArray[np.float32]  # [n]
    sure: NDArray[np.float32]  # [n]
    candidates: NDArray[np.uint16]  # [n]
    status: NDArray[np.uint8]  # [n]
    track: NDArray[np.int32]  # [n]

    def part(self, start: int, stop: int) -> PersonBoxes:
        """Samples [start, stop)."""
        return PersonBoxes(**{name: array[start:stop] for name, array in vars(self).items()})

    def without(self, lost: NDArray[np.bool_]) -> PersonBoxes:
        """A copy in which frames that are `lost` [n] gave nothing, where they were promised."""
        empty = no_boxes(self.status != FrameStatus.OUTSIDE)
        return PersonBoxes(
            **{
                name: np.where(lost.reshape(-1, *[1] * (array.ndim - 1)), getattr(empty, name), array)
                for name, array in vars(self).items()
            }
        )


def no_boxes(inside: NDArray[np.bool_], status: FrameStatus = FrameStatus.UNDECODABLE) -> PersonBoxes:
    """Nothing seen yet: where the person is promised, the frame may not even have been decoded."""
    n = len(inside)
    return PersonBoxes(
        box=np.full((n, 4), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        sure=np.full(n, np.nan, np.float32),
        candidates=np.zeros(n, np.uint16),
        status=np.where(inside, status, FrameStatus.OUTSIDE).astype(np.uint8),
        track=np.full(n, -1, np.int32),
    )
