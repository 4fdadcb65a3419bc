"""Trackers of other packages: what one has to be, and how it is loaded.

In: a `TracksConfig` whose `implementation` is an entry point in the group `rhas.trackers`, which is called with it.
Out: an `OutsideTracker`, tried once on a small grey movie, so that what doesn't fit is told before movies are read.

It follows persons; who of them is meant is decided over the whole movie, as with builtin (`rhas.extract.tracks`). A
window of the movie is tracked by itself, wherever and in whatever order windows are worked on: a tracker keeps nothing
from one to the next. Over their borders, and over cuts, which are known only later, tracks are linked by where
persons are and how they look.

Shapes: n samples of a window of H x W pixels, M persons seen in one of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rhas.extract.config import TRACKERS, TracksConfig
from rhas.manifests.common.plugins import expect, make, trial

_TRIAL = (3, 64, 96, 3)  # the movie that it is tried on


@dataclass(frozen=True)
class Track:
    """One person through a window: `box` [n, 4] float32, x1 y1 x2 y2 as shares of the frame, NaN where they aren't
    seen; `score` [n] float32 from 0 to 1, how sure it is that this is still the same person."""

    box: NDArray[np.float32]
    score: NDArray[np.float32]


class OutsideTracker(ABC):
    """A tracker that goes on from what the detector sees now and then."""

    @property
    @abstractmethod
    def weights_hash(self) -> str:
        """What tracks are known by: other weights, or another way of tracking, must have another one.
        `rhas.extract.weights.fingerprint` has one for modules."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """Moves it."""

    @abstractmethod
    def track(self, frames_nHW3: Tensor, seen: Mapping[int, Tensor]) -> Sequence[Track]:
        """Everybody's tracks through a window.

        `frames_nHW3` are RGB, uint8, on the CPU: all samples that the movie gave. `seen[row]` [M, 4] float32: a box for
        everybody seen in frame `row`, best first, in those of the frames that the detector saw (every
        `tracks.every_s` seconds) in which it found anybody; at least one. Called in `torch.inference_mode`. The same
        input must give the same tracks.
        """


def load(config: TracksConfig) -> OutsideTracker:
    """Raises InputError, naming the entry point, for a tracker that can't be made, or isn't what it has to be."""
    tracker: OutsideTracker = make(TRACKERS, config.implementation, OutsideTracker, config)  # type: ignore[type-abstract]
    seen = {0: torch.tensor([[0.25, 0.25, 0.5, 0.75]])}
    with trial(TRACKERS, config.implementation, tracker, OutsideTracker), torch.inference_mode():
        check_tracks(tracker.track(torch.full(_TRIAL, 128, dtype=torch.uint8), seen), _TRIAL[0])
    return tracker


def check_tracks(tracks: Sequence[Track], frames: int) -> None:
    """Raises ValueError, saying what a tracker gave instead of tracks through so many frames."""
    for track in tracks:
        expect(isinstance(track, Track), f"a {type(track).__name__}, not Track")
        for name, array, shape in (("boxes", track.box, (frames, 4)), ("scores", track.score, (frames,))):
            right = isinstance(array, np.ndarray) and array.dtype == np.float32
            expect(right, f"{name} that are no array of float32")
            expect(array.shape == shape, f"{name} of shape {array.shape}, not {shape}")
        there = ~np.isnan(track.box).all(axis=1)
        box, score = track.box[there], track.score[there]
        for name, array in (("boxes", box), ("scores", score)):
            expect(bool(((array >= 0) & (array <= 1)).all()), f"{name} outside [0, 1]")
        expect(bool((box[:, 2:] > box[:, :2]).all()), "boxes without an area; they are x1 y1 x2 y2")
