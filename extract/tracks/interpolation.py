"""Boxes of every sample from those of the samples that were looked at.

Between two sights of a person in one shot, not too far apart, each edge moves in proportion. Before the first and
behind the last sight of a stretch the box stays as it is for less than half of the way to the next look, within the
shot: who wasn't seen there may have gone anywhere between.

Shapes: T samples of the movie, S of them looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Path:
    """`left`, `right` [T]: places in S of the sights on both sides of each sample, the same one at a sight itself and
    where a box only stays; -1 where there is no box. `share` [T]: how far from left to right a sample is."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    share: NDArray[np.float64]

    def between(self, value_S: NDArray[np.floating]) -> NDArray[np.float64]:
        """[T, ...] values in proportion; NaN where there is no box."""
        share = self.share.reshape(-1, *[1] * (value_S.ndim - 1))
        mixed = (1 - share) * value_S[self.left] + share * value_S[self.right]
        return np.where((self.left >= 0).reshape(share.shape), mixed, np.nan)


def path(
    time_s: NDArray[np.float64],
    sample_S: NDArray[np.int64],
    found_S: NDArray[np.bool_],
    shot_T: NDArray[np.int64],
    longest_gap_s: float,
) -> Path:
    """`found_S`: whether the person has a sight in each of the samples that were looked at."""
    samples = len(time_s)
    left, right, share = np.full(samples, -1), np.full(samples, -1), np.zeros(samples)
    places = np.flatnonzero(found_S)
    for place in places:
        t = sample_S[place]
        left[t] = right[t] = place
        for step in (1, -1):
            beside = place + step
            # Up to the middle between this look and the next, which found nobody, or the border of the shot.
            limit = time_s[sample_S[beside]] if 0 <= beside < len(sample_S) else time_s[t]
            half_s = abs(limit - time_s[t]) / 2
            other = t + step
            while 0 <= other < samples and shot_T[other] == shot_T[t] and left[other] < 0:
                away_s = abs(time_s[other] - time_s[t])
                crossed = 0 <= beside < len(sample_S) and shot_T[sample_S[beside]] != shot_T[t]
                if not (away_s < half_s - 1e-6 or (crossed and away_s < 2 * half_s)):
                    break
                left[other] = right[other] = place
                other += step
    for a, b in pairwise(places):
        first, last = sample_S[a], sample_S[b]
        if shot_T[first] == shot_T[last] and time_s[last] - time_s[first] <= longest_gap_s:
            inner = slice(first + 1, last)
            left[inner], right[inner] = a, b
            share[inner] = (time_s[inner] - time_s[first]) / (time_s[last] - time_s[first])
    return Path(left, right, share)
