"""Our seconds of movie time as annotation tools count: seconds of a player, or numbers of frames.

What is in an interval stays in it on the way there and back: a time that a tool can't hold becomes an earlier one, by
less than the tool's unit, and never one behind the frame that begins there.

Shapes: N frames of the movie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TICK = 1e-6  # of a millisecond: what the product of a time and 1000 is off by


@dataclass(frozen=True)
class PlayerClock:
    """A player's seconds, which count from the container's clock: 0 of movie time is `offset_s` there."""

    offset_s: float = 0.0

    def ours(self, played_s: float) -> float:
        return played_s - self.offset_s

    def played(self, time_s: float) -> float:
        """To the bit without an offset; with one, to the last digits."""
        played_s = time_s + self.offset_s
        while self.ours(played_s) > time_s:
            played_s = math.nextafter(played_s, -math.inf)
        return played_s

    def ours_of_ms(self, played_ms: int) -> float:
        return round(played_ms / 1000 - self.offset_s, 6)

    def played_ms(self, time_s: float) -> int:
        """In whole milliseconds, the unit of ELAN."""
        ms = math.floor((time_s + self.offset_s) * 1000 + _TICK)
        return ms if self.ours_of_ms(ms) <= time_s else ms - 1


@dataclass(frozen=True)
class Samples:
    """The moments at which features look at a movie, [T] rising, and which frame each shows."""

    time_s: NDArray[np.float64]
    frame: NDArray[np.int64]


@dataclass(frozen=True)
class FrameClock:
    """When each frame is shown: `start_s` [N] rising, and `end_s`, when the last one ends, in seconds of movie time.

    A frame is taken to be shown `early_s` before its time already: by so much containers round, and players forgive.
    """

    start_s: NDArray[np.float64]
    end_s: float
    early_s: float = 0.0
    samples: Samples | None = None

    def __len__(self) -> int:
        return len(self.start_s)

    def begins_s(self, frame: int) -> float:
        """From when on frame number `frame` is shown, counted from 0; the movie's end for N."""
        if frame >= len(self):
            return self.end_s
        return max(float(self.start_s[frame]) - self.early_s, float(self.start_s[0]))

    def boundary(self, time_s: float) -> int:
        """The first frame that counts as at `time_s` or later; N if none does.

        Samples are parted by it as by the time. Where there are none, or a frame is shown for several, the time moves
        to the nearest frame's beginning.
        """
        if time_s >= self.end_s:
            return len(self)
        shown = max(0, int(np.searchsorted(self.start_s - self.early_s, time_s, side="right")) - 1)
        begun_s, next_s = self.begins_s(shown), self.begins_s(shown + 1)
        if self.samples is not None:
            before, at, after = np.searchsorted(self.samples.time_s, (begun_s, time_s, next_s)).tolist()
            if (before == at) != (at == after):
                return shown if before == at else shown + 1
        return shown if time_s - begun_s <= next_s - time_s else shown + 1
