"""Softened labels and boundary curves, per video in a padded batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.models.actdiff_targets import boundary_curve, soften

LENGTHS = (30, 11, 1)
MASK = torch.arange(30) < torch.tensor(LENGTHS)[:, None]


def labels() -> torch.Tensor:
    return (torch.rand(3, 4, 30, generator=torch.Generator().manual_seed(0)) < 0.3).float()


@pytest.mark.parametrize("sigma", [0.5, 1.4, 20.0])
def test_soften_is_a_gaussian_over_the_mirrored_video(sigma: float) -> None:
    y = labels()
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    soft = soften(y, MASK, sigma)
    for b, n in enumerate(LENGTHS):
        for c in range(4):
            mirrored = np.pad(y[b, c, :n].numpy(), reach, mode="symmetric")
            np.testing.assert_allclose(soft[b, c, :n], np.convolve(mirrored, kernel, "valid"), atol=1e-6)
    assert (soft * ~MASK[:, None] == 0).all()


def test_boundary_curve_of_a_lone_change() -> None:
    y = torch.zeros(1, 2, 40)
    y[:, 0, :20], y[:, 1, 20:] = 1, 1
    curve = boundary_curve(y, torch.ones(1, 40, dtype=torch.bool), 1.0)[0, 0]
    assert curve[19] == curve[20] == 1
    torch.testing.assert_close(curve, curve.flip(0))
    assert (curve[:20].diff() >= 0).all() and curve[10] == 0


def test_boundary_curve_of_several_labels_counts_any_change() -> None:
    y = torch.zeros(1, 3, 60)
    y[:, 0], y[:, 1, 20:], y[:, 2, 40:41] = 1, 1, 1
    curve = boundary_curve(y.bool(), torch.ones(1, 60, dtype=torch.bool), 1.0)[0, 0]
    assert (curve == 1).nonzero()[:, 0].tolist() == [19, 20, 39, 40, 41]


def test_padding_is_no_boundary() -> None:
    y = labels()
    curve = boundary_curve(y, MASK, 1.0)
    for b, n in enumerate(LENGTHS):
        alone = boundary_curve(y[b : b + 1, :, :n], MASK[b : b + 1, :n], 1.0)
        torch.testing.assert_close(curve[b : b + 1, :, :n], alone)
        assert (curve[b, :, n:] == 0).all()
    assert not boundary_curve(torch.ones(1, 2, 9), torch.ones(1, 9, dtype=torch.bool), 1.0).any()
