"""The cosine noise schedule (Nichol & Dhariwal, 2021, arXiv:2102.09672, Eq. 17), as float64 tables.

Shapes: S time steps. The tables stay on the CPU; the few numbers a step needs are read from them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch

OFFSET = 0.008  # s of the paper: keeps the first steps from adding next to no noise
MAX_BETA = 0.999


class CosineSchedule:
    """ᾱ_t of every time step t = 0 … S−1 [S]: the share of signal, as variance, that is left at t."""

    def __init__(self, steps: int = 1000):
        self.steps = steps
        left = [_signal(t / steps) for t in range(steps + 1)]
        betas = [min(1 - after / before, MAX_BETA) for before, after in pairwise(left)]
        self.betas_S = torch.tensor(betas, dtype=torch.float64)
        self.alphas_bar_S = torch.cumprod(1 - self.betas_S, dim=0)

    def visited(self, count: int) -> list[int]:
        """The time steps that DDIM visits in `count` steps, falling: linspace(−1, S−1, count + 1), cut to integers.

        The −1 at its end stands for the clean labels and is left out.
        """
        assert 1 <= count <= self.steps, f"got {count = }, expected 1 to {self.steps}"
        return [i * self.steps // count - 1 for i in range(count, 0, -1)]


def _signal(part: float) -> float:
    """ᾱ before the cap on β, up to a factor, after `part` (0 to 1) of the time."""
    return math.cos((part + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
