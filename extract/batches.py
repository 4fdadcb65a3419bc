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
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                tried = items.stop - first
                if tried == 1:
                    raise
                self.size = tried // 2
            else:
                yield items, result
                first = items.stop
                continue
            # Only now: the error's traceback held on to the tensors of the failed call.
            torch.cuda.empty_cache()


def _out_of_memory(error: RuntimeError) -> bool:
    """Libraries that take memory past torch (cuBLAS, cuDNN) fail with errors of their own."""
    return isinstance(error, torch.OutOfMemoryError) or "_ALLOC_FAILED" in str(error)
