"""Curves from labels, against plain implementations."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rhas.train.data.targets import boundary_target, soft_labels

SIGMAS = st.sampled_from((0.3, 1.0, 1.4, 4.0))
FRAMES = st.integers(1, 40)


def _gaussian_filter(x: np.ndarray, sigma: float) -> np.ndarray:
    """One series [T], mirrored with the end's frame twice, cut off at 4 sigma; sum by sum."""
    reach = int(4 * sigma + 0.5)
    weights = {j: math.exp(-0.5 * (j / sigma) ** 2) for j in range(-reach, reach + 1)}
    total = sum(weights.values())

    def at(t: int) -> float:
        while not 0 <= t < len(x):
            t = -1 - t if t < 0 else 2 * len(x) - 1 - t
        return float(x[t])

    return np.array([sum(w * at(t + j) for j, w in weights.items()) / total for t in range(len(x))])


def _by_run(x: np.ndarray, valid: np.ndarray, sigma: float) -> np.ndarray:
    """The same within each run of valid frames; 0 elsewhere."""
    out, start = np.zeros(len(x)), 0
    for stays, run in groupby(valid):
        stop = start + len(list(run))
        if stays:
            out[start:stop] = _gaussian_filter(x[start:stop], sigma)
        start = stop
    return out


def _boundary(labels: np.ndarray, valid: np.ndarray, sigma: float) -> np.ndarray:
    marks = np.zeros(len(labels))
    for t in range(1, len(labels)):
        if valid[t] and valid[t - 1] and set(np.flatnonzero(labels[t])) != set(np.flatnonzero(labels[t - 1])):
            marks[[t - 1, t]] = 1
    lone = np.zeros(200)
    lone[[99, 100]] = 1
    curve = np.minimum(_by_run(marks, valid, sigma), _gaussian_filter(lone, sigma).max())
    return curve / curve.max() if marks.any() else curve


@settings(max_examples=50, deadline=None)
@given(st.data(), FRAMES, SIGMAS)
def test_boundaries_are_those_of_the_definition(data: st.DataObject, frames: int, sigma: float) -> None:
    labels = data.draw(npst.arrays(bool, (frames, 2)))
    valid = data.draw(npst.arrays(bool, frames) | st.just(np.ones(frames, bool)))
    got = boundary_target(torch.from_numpy(labels), torch.from_numpy(valid), sigma)
    assert got.dtype == torch.float32 and got.shape == (frames,)
    np.testing.assert_allclose(got, _boundary(labels, valid, sigma), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.data(), FRAMES, SIGMAS)
def test_soft_labels_are_filtered_class_by_class(data: st.DataObject, frames: int, sigma: float) -> None:
    labels = data.draw(npst.arrays(bool, (frames, 3)))
    valid = data.draw(npst.arrays(bool, frames) | st.just(np.ones(frames, bool)))
    got = soft_labels(torch.from_numpy(labels), torch.from_numpy(valid), sigma)
    expected = np.stack([_by_run(labels[:, c], valid, sigma) for c in range(3)], axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_lone_change_and_several_labels() -> None:
    labels = torch.zeros(60, 3, dtype=torch.bool)
    labels[:, 0], labels[20:, 1], labels[40:41, 2] = True, True, True
    curve = boundary_target(labels, torch.ones(60, dtype=torch.bool), 1.0)
    assert (curve == 1).nonzero()[:, 0].tolist() == [19, 20, 39, 40, 41] and curve[10] == curve[30] == 0


def test_soft_labels_of_one_label_a_frame_sum_to_one() -> None:
    one_hot = torch.eye(4, dtype=torch.bool)[torch.tensor([0, 0, 1, 1, 1, 3, 2, 2])]
    torch.testing.assert_close(
        soft_labels(one_hot, torch.ones(8, dtype=torch.bool), 1.4).sum(1), torch.ones(8)
    )


def test_absence_is_no_change() -> None:
    labels = torch.tensor([[1], [1], [0], [0], [1], [1]], dtype=torch.bool)
    everywhere = torch.ones(6, dtype=torch.bool)
    gap = torch.tensor([True, True, False, False, True, True])
    assert boundary_target(labels, everywhere, 1.0)[1] == pytest.approx(1)
    assert boundary_target(labels, gap, 1.0).tolist() == [0] * 6
