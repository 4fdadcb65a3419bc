"""Bootstrap intervals of macro F1@50: where a mean over seeds might have been on other movies and with other seeds.

In: for each system, the segments by person of each of its runs (`rhas.train.evaluation.persons`). Out: 95 % percentile
intervals of the systems, and of how far they are apart from another one.

Movies are drawn with replacement from all that any run was tested on, each with all its persons, and so are seeds; the
draw is the same for all systems (Owen, "The pigeonhole bootstrap", 2007: rows and columns, each drawn by itself). So a
movie that is a test movie with several seeds counts as what it is, a single movie, and systems are compared on the same
draws. As Owen shows, such intervals are rather too wide than too narrow, the more so the more a result is chance of a
movie with a seed (up to √3), but for what seeds contribute by themselves where they are few.
A class that is not true in what was drawn doesn't count there, as in `SegmentCounts.macro`.

Shapes: R resamples, M movies, S seeds, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rhas.train.evaluation.persons import COUNTS

Floats = NDArray[np.floating]

RESAMPLES = 2000
NOT_KNOWN = (math.nan, math.nan)


class At(NamedTuple):
    """Which run of a system; without folds, fold is 0."""

    seed: int
    fold: int


class Bootstrap:
    """The same movies and seeds drawn for every system. `persons`: rows of persons-SPLIT.csv, by system and run."""

    def __init__(
        self, persons: Mapping[str, Mapping[At, pd.DataFrame]], resamples: int = RESAMPLES, seed: int = 0
    ):
        every = [(at, rows) for own in persons.values() for at, rows in own.items()]
        self._movies = sorted({movie for _, rows in every for movie in rows["movie"]})
        self._seeds = sorted({at.seed for at, _ in every})
        generator = np.random.default_rng(seed)
        self._drawn_RM = _drawn(len(self._movies), resamples, generator)
        self._drawn_RS = _drawn(len(self._seeds), resamples, generator)
        self._f1 = {
            name: {at: self._macro(rows) for at, rows in own.items()} for name, own in persons.items()
        }

    def interval(self, system: str) -> tuple[float, float]:
        """Of its macro F1@50, a mean over its runs, in percent; NaN if it has none, or if there is but one movie."""
        return self._percentiles(self._f1.get(system, {}))

    def apart(self, system: str, other: str) -> tuple[float, float]:
        """Of `system` − `other`, over the runs that both have."""
        one, two = self._f1.get(system, {}), self._f1.get(other, {})
        return self._percentiles({at: one[at] - two[at] for at in one if at in two})

    def _macro(self, rows: pd.DataFrame) -> Floats:
        """Macro F1@50 [R] of a run on what was drawn, in percent; NaN where nothing of that is true."""
        sums = rows.groupby(["movie", "action"])[list(COUNTS)].sum().unstack(fill_value=0)
        drawn_RM = self._drawn_RM[:, np.searchsorted(self._movies, sums.index)]
        # Whole numbers far below 2^24, so float32 counts them exactly.
        true_RC, predicted_RC, hits_RC = (drawn_RM @ sums[kind].to_numpy(np.float32) for kind in COUNTS)
        occur_RC = true_RC > 0
        f1_RC = np.where(occur_RC, 200 * hits_RC / np.maximum(true_RC + predicted_RC, 1), 0)
        return _ratio(f1_RC.sum(1, dtype=np.float64), occur_RC.sum(1))

    def _percentiles(self, f1: Mapping[At, Floats]) -> tuple[float, float]:
        if not f1 or len(self._movies) < 2:
            return NOT_KNOWN
        values_RK = np.stack(list(f1.values()), axis=1)
        drawn_RK = self._drawn_RS[:, [self._seeds.index(at.seed) for at in f1]]
        drawn_RK = np.where(np.isnan(values_RK), 0, drawn_RK)
        mean_R = _ratio((np.nan_to_num(values_RK) * drawn_RK).sum(1), drawn_RK.sum(1))
        if np.isnan(mean_R).all():
            return NOT_KNOWN
        low, high = np.nanpercentile(mean_R, [2.5, 97.5])
        return float(low), float(high)


def _drawn(things: int, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """How often each is drawn, if as many are drawn as there are: [R, things]."""
    if things == 0:
        return np.zeros((resamples, 0), np.float32)
    return generator.multinomial(things, np.full(things, 1 / things), size=resamples).astype(np.float32)


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where nothing is below."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
