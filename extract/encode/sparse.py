"""Features of some samples only, and those between: which samples are encoded, and what the others get.

The rule is that of `rhas.manifests.shards.interpolated`.

Shapes: T samples in a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretches(has_T: NDArray[np.bool_], *same_T: NDArray[np.integer]) -> NDArray[np.int64]:
    """[T] which stretch each sample belongs to, -1 for none: samples in a row that have the feature, in which all of
    `same_T` are the same."""
    begins = np.ones(len(has_T), bool)
    begins[1:] = ~has_T[:-1]
    for value in same_T:
        begins[1:] |= value[1:] != value[:-1]
    return np.where(has_T, np.cumsum(begins & has_T) - 1, -1)


def encoded(stretch_T: NDArray[np.int64], first: int, every: int) -> NDArray[np.bool_]:
    """[T] the samples to encode; `first`: the number of the first one in its movie."""
    ends = np.ones(len(stretch_T), bool)
    ends[1:-1] = (stretch_T[1:-1] != stretch_T[:-2]) | (stretch_T[1:-1] != stretch_T[2:])
    return (stretch_T >= 0) & (ends | ((first + np.arange(len(stretch_T))) % every == 0))


def fill(
    features_T: NDArray[np.float16], encoded_T: NDArray[np.bool_], stretch_T: NDArray[np.int64],
    time_s: NDArray[np.float64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Puts features between the encoded ones, in place, in proportion of time; returns [T] which these are."""
    between = (stretch_T >= 0) & ~encoded_T
    numbers = np.arange(len(stretch_T))
    before = np.maximum.accumulate(np.where(encoded_T, numbers, 0))[between]
    after = np.minimum.accumulate(np.where(encoded_T, numbers, len(numbers) - 1)[::-1])[::-1][between]
    gone_s = (time_s[between] - time_s[before]) / (time_s[after] - time_s[before])
    share = gone_s.astype(np.float32).reshape(-1, *[1] * (features_T.ndim - 1))
    low, high = (features_T[at].astype(np.float32) for at in (before, after))
    features_T[between] = (1 - share) * low + share * high
    return between
