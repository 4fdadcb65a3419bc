"""Which source frame stands for which moment of movie time.

Movie time starts at the movie's first video frame, whatever its time stamp. A movie sampled at `fps` has samples
at 0, 1/fps, 2/fps … up to the end of its last frame; each shows the frame that a player would show at that
moment: the last one whose time stamp is not later. That holds for variable frame rates too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_MOVIE_S = 48 * 3600.0  # time stamps or claims beyond it are damaged: nothing is planned from them
MAX_FRAMES = int(MAX_MOVIE_S) * 60
# Matroska, FLV and others round stamps to the nearest millisecond. (No multiple of a usual rate's units: no ties.)
ROUNDING_S = 5.5e-4


@dataclass(frozen=True)
class Grid:
    """The samples of a movie. `time_s` [T] float64 ascending, `source_frame` [T] int64 never descending."""

    time_s: NDArray[np.float64]
    source_frame: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_s)


def sample(start_s: NDArray[np.float64], end_s: float, fps: float | None) -> Grid:
    """Samples a movie whose frames start at `start_s` [N] (ascending) and whose last frame ends at `end_s`.

    `fps` None keeps every frame at its own time stamp.
    """
    start_s = np.asarray(start_s, dtype=np.float64) - start_s[0]
    source = np.arange(len(start_s), dtype=np.int64)
    if fps is None:
        return Grid(start_s, source)
    duration_s = max(end_s, float(start_s[-1]) + 2 * ROUNDING_S)
    count = max(1, int(np.ceil((duration_s - ROUNDING_S) * fps)))
    time_s = np.arange(count) / fps
    return Grid(time_s, np.searchsorted(start_s - ROUNDING_S, time_s, side="right").astype(np.int64) - 1)
