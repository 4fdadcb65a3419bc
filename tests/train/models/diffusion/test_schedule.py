"""The cosine schedule against its closed form, and the steps that DDIM visits."""

from __future__ import annotations

import math

import pytest
import torch

from rhas.train.models.diffusion.schedule import CosineSchedule


def test_closed_form() -> None:
    schedule = CosineSchedule(1000)
    at = torch.arange(0, 1001, dtype=torch.float64) / 1000
    left = torch.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
    closed = left[1:] / left[0]
    capped = int((schedule.betas_S == 0.999).nonzero()[0])
    assert capped >= 998  # the cap is met at the very end only
    torch.testing.assert_close(schedule.alphas_bar_S[:capped], closed[:capped], rtol=1e-10, atol=0)
    assert schedule.alphas_bar_S.dtype == torch.float64
    assert (schedule.alphas_bar_S.diff() < 0).all() and schedule.betas_S.max() <= 0.999


@pytest.mark.parametrize("count", [1, 2, 7, 8, 25, 30, 999, 1000])
def test_visited_is_a_linspace_cut_to_integers(count: int) -> None:
    visited = CosineSchedule(1000).visited(count)
    exact = [i * 1000 / count - 1 for i in range(count, 0, -1)]
    assert visited == [int(x + 1e-9) for x in exact]
    assert visited[0] == 999 and len(set(visited)) == count and visited[-1] >= 0
