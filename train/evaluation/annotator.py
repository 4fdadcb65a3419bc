"""A second annotator, who sees what the first saw but sets its boundaries a little otherwise: the floor of label noise.

What such labels score against the first's is what no model can be told to fall short of: a difference that small is as
likely the annotator's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.rasterise import rasterise
from rhas.train.metrics import Video
from rhas.train.scoring.inference import Series

SPREAD_S = 0.2  # standard deviation of a boundary: three frames at 15 a second


def second_annotator(series: Series, vocabulary: Vocabulary, generator: torch.Generator) -> Video:
    """The person's truth with scores of 0 and 1 that are another annotator's labels."""
    labels_TC, valid_T = series.truth(vocabulary)
    intervals = moved(series.clip.intervals, generator)
    covered_s = series.clip.time_s[: len(series.covered)]
    scores_TC = rasterise(intervals, covered_s, vocabulary)[0].astype(np.float32)
    return Video(scores_TC, labels_TC, valid_T, series.name)


def moved(intervals: Sequence[Interval], generator: torch.Generator) -> list[Interval]:
    """Each moment at which actions begin or end is another, by `SPREAD_S`; absences stay.

    Actions that met still meet. Those that end before they begin were too short to be noticed.
    """
    actions = [interval for interval in intervals if interval.action != ABSENT]
    times = sorted({time_s for interval in actions for time_s in (interval.start_s, interval.end_s)})
    drawn = (SPREAD_S * torch.randn(len(times), generator=generator, dtype=torch.float64)).tolist()
    at = {time_s: max(0.0, time_s + move) for time_s, move in zip(times, drawn, strict=True)}
    again = (dataclasses.replace(i, start_s=at[i.start_s], end_s=at[i.end_s]) for i in actions)
    return [interval for interval in again if interval.start_s < interval.end_s]
