"""How alike two persons look: colours of head, trunk and legs, from the small pictures that pass one keeps.

Shapes: N pictures, F = 18 numbers of each.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LOOK = (12, 6)  # height and width, pixels: head, trunk and legs, and their colours
_BANDS = 6  # from head to feet


def look(frame_HW3: NDArray[np.uint8], box_4: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A box of a frame as a small picture [12, 6, 3]."""
    height, width, _ = frame_HW3.shape
    x1, y1, x2, y2 = (box_4.astype(np.float64) * (width, height, width, height)).tolist()
    left, top = min(int(x1), width - 1), min(int(y1), height - 1)
    right, bottom = max(left + 1, round(x2)), max(top + 1, round(y2))
    cut = np.ascontiguousarray(frame_HW3[top:bottom, left:right])
    return np.asarray(cv2.resize(cut, LOOK[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def colours(look_N: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, F] mean CIELAB colours of six bands, one below the other, of the middle third: beside it is background."""
    count, height, width, _ = look_N.shape
    if not count:
        return np.zeros((0, 3 * _BANDS))
    middle = look_N[:, :, width // 3 : width - width // 3]
    lab = cv2.cvtColor(np.ascontiguousarray(middle).reshape(count * height, -1, 3), cv2.COLOR_RGB2LAB)
    return lab.reshape(count, _BANDS, -1, 3).astype(np.float64).mean(axis=2).reshape(count, -1)


def unlike(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """[...] mean absolute difference of colours [..., F]; about 11 for the same person in two shots, 29 for two."""
    return np.abs(one - other).mean(axis=-1)
