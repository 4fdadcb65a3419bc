"""All that is drawn: generators made from what they are for, and what a batch draws, each video from its own.

A generator depends on the run's seed and the step or the sample, so that a run can be taken up anywhere: nothing
global is seeded or read, and no state has to be kept in a checkpoint. What a video gets depends neither on the
padding nor on what else is in its batch: a padded batch trains as its videos do one by one, and two processes
with half a batch each as one with the whole.

Shapes: B videos, X rows, T frames of the longest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["normal", "uniform", "uniform rows", "integers"]


class Generators:
    """A generator for each video of a batch, all on one device, which the draws are on too."""

    def __init__(self, lengths: Sequence[int], generators: Sequence[torch.Generator]):
        """`lengths` [B]: the real frames of each video; T is the largest."""
        assert len(lengths) == len(generators), f"got {len(lengths) = }, expected {len(generators) = }"
        self.lengths, self.each = tuple(lengths), tuple(generators)

    def __len__(self) -> int:
        return len(self.lengths)

    def repeated(self, times: int) -> Generators:
        """The same generators for `times` copies of the batch, one after the other: they go on drawing."""
        return Generators(self.lengths * times, self.each * times)

    def alone(self, video: int) -> Generators:
        """That of one video, as a batch of its own: it goes on drawing."""
        return Generators(self.lengths[video : video + 1], self.each[video : video + 1])

    def normal(self, rows: int) -> Tensor:
        """Gaussian noise [B, X, T], zero in the padding."""
        return self.draw("normal", rows)

    def uniform(self, rows: int) -> Tensor:
        """Numbers in [0, 1) [B, X, T], zero in the padding."""
        return self.draw("uniform", rows)

    def uniform_rows(self, rows: int) -> Tensor:
        """Numbers in [0, 1) that hold for a whole video [B, X, 1]."""
        return self.draw("uniform rows", rows)

    def integers(self, below: int) -> Tensor:
        """A whole number from 0 for each video [B], int64."""
        return self.draw("integers", below)

    def draw(self, what: Kind, size: int) -> Tensor:
        """What all of the above come to: `size` is rows, or the number that integers are below."""
        if what == "integers":
            return torch.cat([torch.randint(size, (1,), generator=g, device=g.device) for g in self.each])
        if what == "uniform rows":
            return torch.stack([torch.rand(size, 1, generator=g, device=g.device) for g in self.each])
        distribution, longest = torch.randn if what == "normal" else torch.rand, max(self.lengths)
        drawn = [
            F.pad(distribution(size, frames, generator=g, device=g.device), (0, longest - frames))
            for frames, g in zip(self.lengths, self.each, strict=True)
        ]
        return torch.stack(drawn)


class Recording(Generators):
    """Draws, and keeps a record of what was asked for: `plan`, by which the next batch can be drawn at once."""

    def __init__(self, generators: Generators):
        super().__init__(generators.lengths, generators.each)
        self.plan: list[tuple[Kind, int]] = []

    def draw(self, what: Kind, size: int) -> Tensor:
        self.plan.append((what, size))
        return super().draw(what, size)


class Drawn(Generators):
    """Hands out what was drawn by a plan, in its order: what a compiled function gets in the place of generators."""

    def __init__(self, generators: Generators, plan: Sequence[tuple[Kind, int]]):
        self.lengths, self.each = generators.lengths, ()
        self.values, self.position = [generators.draw(what, size) for what, size in plan], 0

    def draw(self, what: Kind, size: int) -> Tensor:
        self.position += 1
        return self.values[self.position - 1]


def generator_for(device: torch.device | str, *purpose: int | str) -> torch.Generator:
    """A generator that depends on the purpose alone, such as (seed, "step", 12, 0)."""
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little"))
