"""How much a movie's picture changes from sample to sample, by small thumbnails: what cuts are found by.

In: decoded frames. Out: the change at each, and the first and last thumbnail, by which the next window goes on.

Shapes: n frames of H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (12, 20)  # height and width


@dataclass(frozen=True)
class Changes:
    """`change` [n]: mean absolute difference, from 0 to 255, of each frame's thumbnail and that of the last one before
    that was decoded; NaN where there is none. `ends` [2 or 0, 12, 20, 3]: thumbnails of the first and last decoded."""

    change: NDArray[np.float32]
    ends: NDArray[np.uint8]


def changes(pixels_nHW3: NDArray[np.uint8], ok_n: NDArray[np.bool_]) -> Changes:
    """Of frames in a row, of which those that aren't `ok` hold no picture."""
    change = np.full(len(ok_n), np.nan, np.float32)
    first = last = None
    for row in np.flatnonzero(ok_n):
        thumbnail = cv2.resize(pixels_nHW3[row], SIZE[::-1], interpolation=cv2.INTER_AREA)
        if last is None:
            first = thumbnail
        else:
            change[row] = difference(last, thumbnail)
        last = thumbnail
    ends = np.zeros((0, *SIZE, 3), np.uint8) if first is None or last is None else np.stack([first, last])
    return Changes(change, ends)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of two thumbnails."""
    return float(np.abs(one.astype(np.int16) - other).mean())
