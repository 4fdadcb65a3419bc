"""Where shots begin, by the change of the picture from sample to sample.

A cut changes most of the picture at once; a camera or a person that moves fast changes much of it for a while. So a cut
is a change that is large, and far larger than those around it.

Shapes: T samples of the movie.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AROUND = 3  # samples on each side
TIMES = 2.0  # as large as the median of those around it


def cuts(
    change_T: NDArray[np.floating], promised_T: NDArray[np.bool_], threshold: float
) -> NDArray[np.int64]:
    """First samples of shots, ascending, but that of the movie.

    What lies outside everybody's interval isn't seen: a new shot begins behind it.
    """
    begins_T = promised_T & ~np.roll(promised_T, 1)
    begins_T[:1] = False
    change_T = np.where(promised_T & ~begins_T, change_T, np.nan)
    cut_T = begins_T.copy()
    for t in np.flatnonzero(change_T >= threshold):
        around = np.r_[change_T[max(0, t - AROUND) : t], change_T[t + 1 : t + 1 + AROUND]]
        known = around[~np.isnan(around)]
        cut_T[t] |= not len(known) or change_T[t] >= TIMES * np.median(known)
    return np.flatnonzero(cut_T)


def shot_of(sample: NDArray[np.integer], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shot of each sample, counted from 0."""
    return np.searchsorted(first, sample, side="right")
