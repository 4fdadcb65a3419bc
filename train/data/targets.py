"""Curves made from one sample's labels: how close a frame is to a change, and labels softened along time.

A sample may have frames that don't count in its midst (N/A). Each run of frames that do is taken by itself: a
change from or to a frame that doesn't count is none, and nothing of its labels reaches those that do.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, label
from torch import Tensor

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


def boundary_target(labels_TC: Tensor, valid_T: Tensor, sigma: float) -> Tensor:
    """Closeness to a change of the label set [T] float32, 1 at a change (ActDiff, arXiv:2303.17959, Section 4.1).

    Both frames at a change are marked and smoothed by a Gaussian of `sigma` frames; where changes are close
    together, the curve is capped at a lone change's height; then it is divided by its maximum.
    """
    labels, valid = labels_TC.numpy(), valid_T.numpy()
    changes = (labels[1:] != labels[:-1]).any(1) & valid[1:] & valid[:-1]
    marked_T1 = (np.pad(changes, (1, 0)) | np.pad(changes, (0, 1)))[:, None]
    curve_T = _smooth(marked_T1, valid, sigma)[:, 0].clip(max=_lone_change(sigma))
    return torch.from_numpy(curve_T / curve_T.max() if changes.any() else curve_T)


def soft_labels(labels_TC: Tensor, valid_T: Tensor, sigma: float) -> Tensor:
    """Labels smoothed along time by a Gaussian of `sigma` frames [T, C] float32; 0 where not valid.

    They are not renormalised.
    """
    return torch.from_numpy(_smooth(labels_TC.numpy(), valid_T.numpy(), sigma))


def _smooth(series_TN: Bools, valid_T: Bools, sigma: float) -> Floats:
    """N series smoothed along time within each run of valid frames, mirrored at its ends, cut off at 4 sigma."""
    smooth_TN = np.zeros(series_TN.shape, dtype=np.float32)
    runs_T, count = label(valid_T)
    for run in range(1, count + 1):
        own = runs_T == run
        smooth_TN[own] = gaussian_filter1d(series_TN[own].astype(np.float32), sigma, axis=0)
    return smooth_TN


@cache
def _lone_change(sigma: float) -> float:
    """How high the smoothed mark of a change is that has no other change, and no end, within reach."""
    reach = int(4 * sigma + 0.5)
    marked_T = np.zeros(2 * reach + 2, dtype=np.float32)
    marked_T[reach : reach + 2] = 1
    return float(gaussian_filter1d(marked_T, sigma).max())
