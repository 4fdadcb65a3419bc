"""How many frames of which status: of a person, a movie, a features folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.shards.status import LOST, WRITTEN, FrameStatus


class Tally(Counter[FrameStatus]):
    """Frames by status, summed over persons. promised = written + missing + lost."""

    @classmethod
    def of(cls, status: NDArray[np.uint8]) -> Tally:
        """Counts the rows of one person; rows outside the person's interval are not promised."""
        counts = np.bincount(status, minlength=len(FrameStatus))
        return cls({s: int(counts[s]) for s in FrameStatus if s != FrameStatus.OUTSIDE})

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        total = cls()
        for tally in tallies:
            total.update(tally)
        return total

    @property
    def promised(self) -> int:
        return self.total()

    @property
    def written(self) -> int:
        return sum(self[s] for s in WRITTEN)

    @property
    def missing(self) -> int:
        return self[FrameStatus.MISSING]

    @property
    def lost(self) -> int:
        return sum(self[s] for s in LOST)
