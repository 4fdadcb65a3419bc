"""The second annotator: the first's labels with other boundaries, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from rhas.manifests.tables.labels import Interval
from rhas.train.evaluation.annotator import SPREAD_S, moved


def test_boundaries_move_by_the_spread_and_what_met_still_meets() -> None:
    intervals = [Interval("a" if at % 2 else "b", 10.0 * at, 10.0 * (at + 1)) for at in range(2000)]
    again = moved(intervals, torch.Generator().manual_seed(0))
    assert [i.action for i in again] == [i.action for i in intervals]
    assert all(left.end_s == right.start_s for left, right in itertools.pairwise(again))
    shifts = np.array([new.end_s - old.end_s for new, old in zip(again, intervals, strict=True)])
    assert abs(shifts.mean()) < 0.02 and abs(shifts.std() / SPREAD_S - 1) < 0.06


def test_absences_are_left_out_and_what_is_too_short_is_missed() -> None:
    generator = torch.Generator().manual_seed(1)
    short = [Interval("a", at, at + 1e-3) for at in np.arange(1.0, 500.0)]
    again = moved([*short, Interval("N/A", 900, 901)], generator)
    assert 0.3 < len(again) / len(short) < 0.7
    assert all(interval.action == "a" and 0 <= interval.start_s < interval.end_s for interval in again)
