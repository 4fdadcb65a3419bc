"""Neighbours of frames at a dilation, as slices: frame t and the frames t + j · dilation, |j| ≤ K // 2."""

from __future__ import annotations

# Where the frames are that have this neighbour, and where their neighbours are. Both may be empty.
Shift = tuple[slice, slice]


def shifts(frames: int, neighbours: int, dilation: int) -> list[Shift]:
    """One for each of `neighbours` (odd), leftmost first."""
    reach = neighbours // 2
    return [_overlap(frames, j * dilation) for j in range(-reach, reach + 1)]


def _overlap(frames: int, shift: int) -> Shift:
    """The frames t for which t + shift is a frame as well, and those t + shift."""
    count = max(0, frames - abs(shift))
    here, there = (0, frames - count) if shift > 0 else (frames - count, 0)
    return slice(here, here + count), slice(there, there + count)
