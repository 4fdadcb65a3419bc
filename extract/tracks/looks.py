"""How alike two persons look: colours of head, trunk and legs, from the small pictures that pass one keeps.

Shapes: N pictures, F = 18 numbers of each.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BANDS = 6  # from head to feet


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
