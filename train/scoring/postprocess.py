"""What may be done to scores after the model: a median over time, or short segments given to their neighbours.

Both are ActDiff's (Liu et al., 2023, arXiv:2303.17959), and change scores, so that whatever reads them, threshold,
metrics or files, sees the same. Off by default.

Shapes: T frames, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from rhas.train.config import PostprocessConfig

Floats = NDArray[np.float32]


def postprocess(scores_TC: Floats, config: PostprocessConfig) -> Floats:
    """The scores of one window with all that `config` asks for; the same array if it asks for nothing."""
    if config.median is not None:
        scores_TC = median_filter(scores_TC, size=(config.median, 1), mode="nearest")
    if config.purge is not None:
        scores_TC = scores_TC[_without_short(scores_TC.argmax(axis=1), config.purge)]
    return scores_TC


def _without_short(class_T: NDArray[np.int64], frames: int) -> NDArray[np.int64]:
    """For each frame, the frame whose scores it gets [T]: itself, or the nearest in a segment that is long enough.

    Of two as near, the earlier one. If all segments are short, all stay.
    """
    starts = np.flatnonzero(np.diff(class_T, prepend=-1))
    lengths = np.diff(starts, append=len(class_T))
    kept = np.flatnonzero(np.repeat(lengths > frames, lengths))
    every = np.arange(len(class_T))
    if not len(kept):
        return every
    after = np.searchsorted(kept, every).clip(max=len(kept) - 1)
    before = (after - 1).clip(min=0)
    nearer_before = np.abs(every - kept[before]) <= np.abs(kept[after] - every)
    return kept[np.where(nearer_before, before, after)]
