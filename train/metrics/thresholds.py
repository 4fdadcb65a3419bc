"""Choosing τ, the one threshold that turns scores into label sets.

In: `Video`s of the validation split, never of the test split. Out: the τ of a fixed grid with the best macro
segment F1@50, and that objective at every τ tried. Macro, because pooled counts would follow the few
most frequent classes of a long tail; at 50 %, because it asks for segments and not only for touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.evaluate import HALF, check_classes, no_videos
from rhas.train.metrics.segments import SegmentCounts
from rhas.train.metrics.video import Video, label_sets

# For one label a frame: no threshold, the best class.
BEST_CLASS: tuple[float | None, ...] = (None,)
# Denser near 0: sigmoid scores of rare classes seldom come near .5.
GRID: tuple[float | None, ...] = (0.01, 0.02, 0.03, *(round(0.05 * i, 2) for i in range(1, 20)))


@dataclass(frozen=True)
class Threshold:
    """The chosen τ, its objective, and (τ, objective) for all that were tried; objectives in percent."""

    tau: float | None
    f1_macro_50: float
    tried: tuple[tuple[float | None, float], ...]


def choose_threshold(videos: Iterable[Video], grid: Sequence[float | None] = GRID) -> Threshold:
    """The τ of `grid` with the best macro F1@50; of equals the nearest to .5, and then the lower.

    Raises `InputError` if the videos don't fit, or hold no segment to measure by.
    """
    counts: dict[float | None, SegmentCounts] = {}
    classes: int | None = None
    for video in videos:
        classes = video.classes if classes is None else classes
        check_classes(video, classes)
        present = video.present()
        for tau in grid:
            own = SegmentCounts.of(label_sets(present.scores_NC, tau), present.labels_NC, present.breaks_N)
            counts[tau] = counts[tau] + own if tau in counts else own
    if not counts:
        raise no_videos()
    tried = tuple((tau, counts[tau].macro()[50]) for tau in grid)
    if any(np.isnan(f1) for _, f1 in tried):
        raise InputError(Problem("validation videos", "at least one labelled segment to choose τ by"))
    tau, best = max(tried, key=lambda pair: (pair[1], -abs((pair[0] or HALF) - HALF), -(pair[0] or HALF)))
    return Threshold(tau, best, tried)
