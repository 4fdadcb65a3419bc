"""How probable it is that a box is right, learnt from scores whose outcome is known.

In: scores of boxes, and whether each was that of the person meant. Out: a curve from score to probability, as
`detector.sure` and `tracks.sure` have one for each status, and how far stated probabilities are from what came true.

Shapes: N boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RIGHT = 0.5  # a box is right if it overlaps the true one by more than this (intersection over union)
_CORNERS = 6
_FEWEST = 30  # boxes behind each corner


def curve(scores_N: NDArray[np.floating], right_N: NDArray[np.bool_]) -> list[tuple[float, float]] | None:
    """Corners (score, probability) of a curve that never falls; None for too few boxes to tell.

    Isotonic regression (Ayer et al. 1955) of groups of equal size. Beyond the first and last group the curve is flat,
    so that no probability is stated that wasn't seen.
    """
    from scipy.optimize import isotonic_regression

    groups = min(_CORNERS, len(scores_N) // _FEWEST)
    if groups < 2:
        return None
    order = np.argsort(scores_N, kind="stable")
    parts = np.array_split(order, groups)
    scores = np.array([scores_N[part].mean() for part in parts])
    shares = np.array([right_N[part].mean() for part in parts])
    fitted = isotonic_regression(shares, weights=np.array([len(part) for part in parts])).x
    corners = {0.0: fitted[0], 1.0: fitted[-1], **dict(zip(scores.round(3).tolist(), fitted, strict=True))}
    return [(score, round(float(corners[score]), 3)) for score in sorted(corners)]


def read_off(corners: Sequence[tuple[float, float]], scores_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities at some scores."""
    return np.interp(scores_N, [score for score, _ in corners], [probability for _, probability in corners])


def overlap(one_N4: NDArray[np.floating], other_N4: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] x1 y1 x2 y2, each with its own other; 0 with one that is NaN."""
    low, high = np.maximum(one_N4[:, :2], other_N4[:, :2]), np.minimum(one_N4[:, 2:], other_N4[:, 2:])
    shared_N = np.clip(high - low, 0, None).prod(1, dtype=np.float64)
    areas_N = (one_N4[:, 2:] - one_N4[:, :2]).prod(1) + (other_N4[:, 2:] - other_N4[:, :2]).prod(1)
    return np.nan_to_num(shared_N / (areas_N - shared_N))


def calibration_error(sure_N: NDArray[np.floating], right_N: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017): how far stated probabilities are from shares that were right."""
    at_N = np.minimum((sure_N * bins).astype(int), bins - 1)
    parts = [at_N == b for b in np.unique(at_N)]
    return float(sum(abs(sure_N[part].mean() - right_N[part].mean()) * part.mean() for part in parts))
