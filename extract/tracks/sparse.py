"""Which samples of a movie are looked at by the detector: the same ones however the movie is cut into windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SAME_S = 1e-6  # times that differ by less are the same


def looked_at(
    time_s: NDArray[np.float64], inside: Sequence[NDArray[np.bool_]], every_s: float
) -> NDArray[np.bool_]:
    """[T] the first sample at or behind each multiple of `every_s`, and the first and last of everybody's interval.

    `inside`: for each person [T] where they are promised; samples with nobody in them are never looked at.
    """
    turn = np.floor((time_s + _SAME_S) / every_s)
    look = np.diff(turn, prepend=-1.0) > 0
    for mask in inside:
        at = np.flatnonzero(mask)
        if len(at):
            look[at[[0, -1]]] = True
    return look & np.any(inside, axis=0)
