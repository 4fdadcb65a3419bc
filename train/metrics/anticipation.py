"""Anticipation accuracy: how well frames are told that have not been seen yet (ActFusion, arXiv:2412.04353).

In: scores of whole videos of which a share α was seen. Out: for each share β, the mean over classes of the accuracy on
the frames [αT, (α+β)T), counted over all videos. A frame is right if its best class is in its label set (ties: lowest
index), and counts for each of its labels; with one label a frame this is the mean over classes that the field reports.

Shapes: T frames of a video, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.frames import NAN
from rhas.train.metrics.video import Video

OBSERVED = (0.2, 0.3)  # α
AHEAD = (0.1, 0.2, 0.3, 0.5)  # β


def horizon(frames: int, observed: float, ahead: float) -> slice:
    """The frames [αT, (α+β)T) of a video of T frames, each end rounded down."""
    # Rounded first: .3 + .5 times 10 frames is 7.999…
    return slice(int(round(observed * frames, 6)), int(round((observed + ahead) * frames, 6)))


class Anticipation:
    """Right and counted frames of each class, video after video, for one share that was seen."""

    def __init__(self, classes: int, observed: float, ahead: Sequence[float] = AHEAD) -> None:
        self.observed, self.ahead = observed, tuple(ahead)
        self._right = np.zeros((len(self.ahead), classes), dtype=np.int64)
        self._counted = np.zeros_like(self._right)

    def add(self, video: Video) -> None:
        """A whole video; frames that don't count are left out."""
        if video.classes != self._right.shape[1]:
            expected = f"{self._right.shape[1]} classes, as in the videos before"
            raise InputError(Problem(video.name, expected, column="scores", value=video.scores.shape))
        best_T = video.scores.argmax(axis=1)
        right_T = video.labels[np.arange(len(best_T)), best_T]
        for i, ahead in enumerate(self.ahead):
            own = horizon(len(best_T), self.observed, ahead)
            counted_NC = video.labels[own] & video.valid[own, None]
            self._counted[i] += counted_NC.sum(axis=0)
            self._right[i] += (counted_NC & right_T[own, None]).sum(axis=0)

    def percent(self) -> dict[float, float]:
        """By β: mean over the classes that occur in those frames; NaN if none does."""
        found = {}
        for ahead, right_C, counted_C in zip(self.ahead, self._right, self._counted, strict=True):
            occurs_C = counted_C > 0
            shares = right_C[occurs_C] / counted_C[occurs_C]
            found[ahead] = 100 * float(shares.mean()) if len(shares) else NAN
        return found
