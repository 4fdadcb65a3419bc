"""Curves made from one sample's labels: how close a frame is to a change, and labels softened along time.

A sample may have frames that don't count in its midst (N/A): a change from or to one of them is none. The
models' own `boundary_curve` is for videos whose frames all count; where they do, both give the same.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from train.models.actdiff_targets import soften


def boundary_target(labels_TC: Tensor, valid_T: Tensor, sigma: float) -> Tensor:
    """Closeness to a change of the label set [T] float32, 1 at a change (ActDiff, arXiv:2303.17959, Section 4.1).

    Both frames at a change are marked and smoothed by a Gaussian of `sigma` frames; where changes are close
    together, the curve is capped at a lone change's height; then it is divided by its maximum.
    """
    changes = (labels_TC[1:] != labels_TC[:-1]).any(1) & valid_T[1:] & valid_T[:-1]
    marked_T = F.pad(changes, (1, 0)) | F.pad(changes, (0, 1))
    curve_T = _smooth(marked_T[None], sigma)[0].clamp(max=_lone_change(sigma))
    return curve_T / curve_T.max() if changes.any() else curve_T


def soft_labels(labels_TC: Tensor, sigma: float) -> Tensor:
    """Labels smoothed along time by a Gaussian of `sigma` frames [T, C] float32, not renormalised.

    Equals scipy's `gaussian_filter1d` along time with its defaults: mirrored at the ends, cut off at 4 sigma.
    """
    return _smooth(labels_TC.T, sigma).T


def _smooth(series_NT: Tensor, sigma: float) -> Tensor:
    """N series of T frames smoothed along time; real to the last frame, since samples are not padded yet."""
    return soften(series_NT[None].float(), torch.ones(1, series_NT.shape[1], dtype=torch.bool), sigma)[0]


@cache
def _lone_change(sigma: float) -> float:
    """How high the smoothed mark of a change is that has no other change, and no end, within reach."""
    reach = int(4 * sigma + 0.5)
    marked_T = torch.zeros(2 * reach + 2)
    marked_T[reach : reach + 2] = 1
    return _smooth(marked_T[None], sigma).max().item()
