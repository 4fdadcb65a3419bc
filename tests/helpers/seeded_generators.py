"""`Generators` for tests: the videos of a mask, each with the generator of a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from rhas.train.data.generators import Generators


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws_of(mask_BT: Tensor, *seeds: int) -> Generators:
    """One seed per video, or one from which all count on."""
    lengths = mask_BT.sum(1).tolist()
    if len(seeds) != len(lengths):
        (first,) = seeds
        seeds = tuple(range(first, first + len(lengths)))
    return Generators(lengths, [seeded(seed) for seed in seeds])
