"""Tracks of CVAT: what stands between keyframes, as CVAT fills it in.

A box goes from a keyframe to the next in proportion to the number of frames, also to one that is `outside`; from that
on there is none, until a keyframe that isn't. The last box stays to the end. Attributes hold until a keyframe that says
otherwise. (CVAT, `TrackManager.get_interpolated_shapes`.)

Shapes: K keyframes, M frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeyFrame:
    """One of a track: the box x1 y1 x2 y2 in pixels, and what attributes say."""

    frame: int
    outside: bool
    box: tuple[float, float, float, float]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """Keyframes in the order of their frames, which differ; `stop` is the first frame behind the task's last."""

    keyframes: tuple[KeyFrame, ...]
    stop: int

    def shown(self) -> Iterator[tuple[int, int]]:
        """Where it is there: from which frame on, and the first frame behind that."""
        begun: int | None = None
        for key in self.keyframes:
            if key.outside and begun is not None:
                yield begun, key.frame
                begun = None
            elif not key.outside and begun is None:
                begun = key.frame
        if begun is not None and begun < self.stop:
            yield begun, self.stop

    def boxes(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All frames [M] at which it is there, rising, and its boxes [M, 4] in pixels."""
        frames, boxes = [np.zeros(0, np.int64)], [np.zeros((0, 4))]
        for key, after in pairwise((*self.keyframes, None)):
            assert key is not None
            if key.outside:
                continue
            own = np.arange(key.frame, max(self.stop, key.frame + 1) if after is None else after.frame)
            here = np.array(key.box)
            step = np.zeros(4) if after is None else np.array(after.box) - here
            share = (own - key.frame) / (1 if after is None else after.frame - key.frame)
            frames.append(own)
            boxes.append(here + step * share[:, None])
        return np.concatenate(frames), np.concatenate(boxes)

    def said(self) -> Iterator[tuple[int, int, dict[str, str]]]:
        """What the attributes say while it is there: from which frame on, the first frame behind that, and what."""
        known: dict[str, str] = {}
        for key, after in pairwise((*self.keyframes, None)):
            assert key is not None
            known = {**known, **key.attributes}
            stop = self.stop if after is None else after.frame
            if not key.outside and key.frame < stop:
                yield key.frame, stop, known
