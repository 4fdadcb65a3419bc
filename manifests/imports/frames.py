"""Labels by frame to intervals in seconds, such that rasterising them gives back the very same frames.

In: the classes of each frame. Out: intervals. Frame t of a movie stands at t / fps seconds, in float64; an
interval from frame i up to frame j is [i / fps, j / fps), made by the same division, so that a frame is inside
or not with nothing left to rounding.

Shapes: T frames, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
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


def label_matrix(classes: Sequence[Collection[int]], vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """[T, C] of the class indices of each frame, none or several."""
    labels_TC = np.zeros((len(classes), len(vocabulary)), dtype=bool)
    rows = np.repeat(np.arange(len(classes)), [len(own) for own in classes])
    labels_TC[rows, list(chain.from_iterable(classes))] = True
    return labels_TC


def intervals_of(labels_TC: NDArray[np.bool_], fps: float, vocabulary: Vocabulary) -> tuple[Interval, ...]:
    """Maximal runs of each class of labels [T, C], sorted as labels are."""
    changes_TC = np.diff(labels_TC.astype(np.int8), axis=0, prepend=0, append=0)
    found = [
        Interval(action, start / fps, stop / fps)
        for action, changes_T in zip(vocabulary.actions, changes_TC.T, strict=True)
        for start, stop in zip(*(np.flatnonzero(changes_T == sign).tolist() for sign in (1, -1)), strict=True)
    ]
    return tuple(sorted(found, key=lambda interval: interval.place))


def common_length(lengths: Mapping[Path, int], tolerance: int) -> int:
    """How many frames all files have; raises InputError, naming the two extremes, if they differ by more."""
    shortest = min(lengths, key=lambda path: lengths[path])
    longest = max(lengths, key=lambda path: lengths[path])
    if lengths[longest] - lengths[shortest] > tolerance:
        expected = f"{lengths[longest]} frames, as {longest} has, or at most {tolerance} fewer"
        raise InputError(Problem(shortest, expected, value=lengths[shortest]))
    return lengths[shortest]
