"""Model calls in batches that shrink when the device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


class Batches:
    """Runs calls over item ranges; on an out-of-memory error halves the batch, for good, and tries again.

    The results don't depend on the batch, up to rounding. With a batch of one the error is raised.
    """

    def __init__(self, size: int):
        self.size = size

    def run(self, count: int, call: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
        """Yields `call(range)` for consecutive ranges that cover `count` items."""
        first = 0
        while first < count:
            items = slice(first, min(first + self.size, count))
            try:
                result = call(items)
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size = max(1, self.size // 2)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            yield items, result
            first = items.stop
