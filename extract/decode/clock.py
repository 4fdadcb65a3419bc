"""The clock of a movie: stamps as a container has them, made into times that only go forward.

A player shows frames in the order of their stamps. Recordings that were joined, and cards and receivers that lost
their clock, have stamps that start again or jump; there the new stretch goes on where the last one ended, as FFmpeg's
command does it (`-dts_delta_threshold`, and any step back). In files that say by themselves when each frame is
shown (MP4, Matroska) a long gap is a long still picture, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JUMP_S = 10.0  # further forward than this is a jump where clocks may be cut: FFmpeg's default
BACK_S = 0.1  # decoding times that step back by more start again
# A single stamp that differs more from those around it is damaged; decoding times only ascend.
LARGEST_OUTLIER_S, LARGEST_DECODING_OUTLIER_S = 60.0, BACK_S
NO_STAMP = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Join:
    """A place where the clock was cut: the packet from which on `shift` is added to all stamps."""

    row: int
    shift: int


def joins(
    dts: NDArray[np.int64],
    duration: NDArray[np.int64],
    per_second: float,
    back: NDArray[np.bool_] | None = None,
) -> list[Join]:
    """Where the clock starts again or jumps. `dts` [N] in order of storage, `NO_STAMP` where there is none.

    `back` [N] says instead of the steps which packets start again; then there are no jumps.
    """
    known = np.flatnonzero(dts != NO_STAMP)
    found: list[Join] = []
    if len(known) < 2:
        return found
    step = np.diff(dts[known])
    typical = int(np.median(step[step > 0])) if (step > 0).any() else int(per_second / 25)
    cut = (
        back[known[1:]] if back is not None else (step < -BACK_S * per_second) | (step > JUMP_S * per_second)
    )
    shift = 0
    for at in np.flatnonzero(cut):
        before, after = known[at], known[at + 1]
        shift += int(dts[before] + (duration[before] or typical) - dts[after])
        found.append(Join(int(after), shift))
    return found


def restarts(pts: NDArray[np.int64], entry: NDArray[np.bool_], per_second: float) -> NDArray[np.bool_]:
    """Entries [N] that are shown before what is stored before them: there is no such thing on one clock."""
    found = np.zeros(len(pts), bool)
    highest, last = NO_STAMP, 0
    for at in np.flatnonzero(entry).tolist():
        highest = max(highest, int(pts[last:at].max(initial=NO_STAMP)))
        found[at] = highest != NO_STAMP and pts[at] < highest - BACK_S * per_second
        highest, last = (NO_STAMP if found[at] else highest), at
    return found


def outliers(stamps: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
    """Which single stamps [N] are damaged: those that differ by more than `limit` from what stands around them."""
    values = stamps.astype(np.float64)
    around = np.median(
        np.stack([values, np.append(values[1:], values[-1:]), np.append(values[:1], values[:-1])]), axis=0
    )
    return np.asarray(np.abs(values - around) > limit)
