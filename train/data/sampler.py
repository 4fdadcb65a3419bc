"""Which samples make up which batch: fixed by seed and epoch, whatever the ranks, and open to be taken up midway.

In: how many samples there are. Out: lists of their indices. The sampler doesn't count what was trained on:
workers ask for batches ahead. The training loop does, and saves `state(batches done)` in its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from rhas.manifests.common.errors import InputError, Problem


class BatchSampler(torch.utils.data.Sampler[list[int]]):
    """Batches of one epoch, from `position` on: the order is drawn anew in every epoch, or never.

    Each of `ranks` processes gets `batch` samples at a time; together they get what a single one with
    ranks · batch would. The last batch may be smaller, and then leaves some ranks with fewer samples, or with
    no batch at all.
    """

    def __init__(
        self, samples: int, batch: int, seed: int, shuffle: bool = True, rank: int = 0, ranks: int = 1
    ):
        _require(
            (samples >= 1, "samples", samples, "at least 1"),
            (batch >= 1, "batch", batch, "at least 1"),
            (seed >= 0, "seed", seed, "at least 0"),
            (0 <= rank < ranks, "rank", rank, f"0 to below the number of ranks, {ranks}"),
        )
        self.samples, self.batch, self.seed, self.shuffle = samples, batch, seed, shuffle
        self.rank, self.ranks = rank, ranks
        self.epoch = 0
        self.position = 0  # batches of this epoch that are done already

    def start(self, epoch: int, position: int = 0) -> None:
        """Sets which epoch the next iteration is, and how many of its batches to leave out."""
        _require(
            (epoch >= 0, "epoch", epoch, "at least 0"),
            (0 <= position <= self.batches, "position", position, f"0 to {self.batches} batches"),
        )
        self.epoch, self.position = epoch, position

    @property
    def batches(self) -> int:
        """Batches of a whole epoch, over all ranks together."""
        return -(-self.samples // (self.batch * self.ranks))

    def __len__(self) -> int:
        """Batches that the next iteration gives this rank."""
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        together = self.batch * self.ranks
        for number in range(self.position, self.batches):
            own = order[number * together : (number + 1) * together][self.rank :: self.ranks]
            if own:
                yield own

    def state(self, position: int) -> dict[str, Any]:
        """Where training stands after `position` batches of this epoch, counted from the epoch's start.

        The same for all ranks, and for any number of them that makes batches of the same size together.
        """
        return {"epoch": self.epoch, "position": position, **self._fixed()}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state. Raises InputError if it belongs to another order of samples."""
        wrong = [
            Problem("batch sampler", f"{state.get(name)!r}, as in the saved state", column=name, value=value)
            for name, value in self._fixed().items()
            if state.get(name) != value
        ]
        if wrong:
            raise InputError(wrong)
        self.start(state["epoch"], state["position"])

    def _fixed(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "batch_of_all_ranks": self.batch * self.ranks,
            "seed": self.seed,
            "shuffle": self.shuffle,
        }

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.samples))
        # mixed, so that seed 1's second epoch isn't seed 2's first
        mixed = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)[0])
        return torch.randperm(self.samples, generator=torch.Generator().manual_seed(mixed)).tolist()


def _require(*checks: tuple[bool, str, object, str]) -> None:
    """Raises one InputError for all that don't hold: whether, of which argument, its value, what was expected."""
    problems = [
        Problem("batch sampler", expected, column=name, value=v) for ok, name, v, expected in checks if not ok
    ]
    if problems:
        raise InputError(problems)
