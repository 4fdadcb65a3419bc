"""Labels by frame to intervals in seconds, such that rasterising them gives back the very same frames.

In: the classes of each frame. Out: intervals. Frame t of a movie stands at t / fps seconds, in float64; an
interval from frame i up to frame j is [i / fps, j / fps), made by the same division, so that a frame is inside
or not with nothing left to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import Vocabulary

MAX_FPS = 1000.0


def check_fps(fps: float) -> None:
    """Raises InputError for a rate that no movie has."""
    if not (math.isfinite(fps) and 1 / MAX_FPS <= fps <= MAX_FPS):
        raise InputError(Problem("--fps", f"frames per second, {1 / MAX_FPS:g} to {MAX_FPS:g}", value=fps))


def frame_times(frames: int, fps: float) -> NDArray[np.float64]:
    """[T] seconds of movie time."""
    return np.arange(frames) / fps


def intervals_of(
    classes: Iterable[Collection[int]], fps: float, vocabulary: Vocabulary
) -> tuple[Interval, ...]:
    """Maximal runs of each class, sorted as labels are. `classes` holds class indices, none or several a frame."""
    found: list[Interval] = []
    open_since: dict[int, int] = {}
    frames = 0

    def close(index: int) -> None:
        start = open_since.pop(index)
        found.append(Interval(vocabulary.actions[index], start / fps, frames / fps))

    for own in classes:
        for index in [index for index in open_since if index not in own]:
            close(index)
        for index in own:
            open_since.setdefault(index, frames)
        frames += 1
    for index in list(open_since):
        close(index)
    return tuple(sorted(found, key=lambda interval: interval.place))


def common_length(lengths: Mapping[Path, int], tolerance: int) -> int:
    """How many frames all files have; raises InputError, naming the two extremes, if they differ by more."""
    shortest = min(lengths, key=lambda path: lengths[path])
    longest = max(lengths, key=lambda path: lengths[path])
    if lengths[longest] - lengths[shortest] > tolerance:
        expected = f"{lengths[longest]} frames, as {longest} has, or at most {tolerance} fewer"
        raise InputError(Problem(shortest, expected, value=lengths[shortest]))
    return lengths[shortest]
