"""Generators for all that is drawn, made from what it is drawn for, so that a run can be taken up anywhere.

In: the run's seed, and the step or the sample. Out: a fresh `torch.Generator`. Nothing global is seeded or read,
and no state has to be kept in a checkpoint.
"""

from __future__ import annotations

import hashlib

import torch


def generator_for(device: torch.device | str, *purpose: int | str) -> torch.Generator:
    """A generator that depends on the purpose alone, such as (seed, "step", 12, 0)."""
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little"))
