"""What a piece of code asks of a device: operations, those that are kernels, and where it waits for the device.

    counts = count_operations(lambda: model.predict(batch, generators))     # on any tensors, a CPU's too
    print(table({"predict": counts}))

A GPU works while Python goes on, until somebody asks for a value: `item`, `tolist`, `nonzero`, an index by a mask,
a tensor brought to the CPU. Each such wait lets the GPU run dry. On tensors of a CPU nothing waits, and they are
counted all the same. Copies from ordinary memory to the device wait too, unless they are `non_blocking`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

TRAIN, EXTRACT = (Path(__file__).parents[2] / stage for stage in ("train", "extract"))
# Their result, or its size, depends on values: the CPU has to see them.
_READS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "bincount",
}  # fmt: skip
_ALLOCATIONS = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "_local_scalar_dense",
}  # fmt: skip
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


@dataclass
class Counts:
    """What was counted. `reads` and `uploads` by what and where, such as ("nonzero", "models/actdiff/masks.py:60")."""

    operations: int = 0
    kernels: int = 0  # operations that are neither views nor allocations
    casts: int = 0  # copies of what is on the device into another type
    reads: Counter[tuple[str, str]] = field(default_factory=Counter)
    uploads: Counter[tuple[str, str]] = field(default_factory=Counter)  # that wait

    @property
    def synchronisations(self) -> int:
        return self.reads.total() + self.uploads.total()

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def places(self) -> str:
        """One line for each place that waits, the most frequent first."""
        found = (self.reads + self.uploads).most_common()
        return "\n".join(f"{times:6} × {what} at {place}" for (what, place), times in found)

    def note(
        self, func: Any, args: Any, kwargs: Mapping[str, Any], on_device: Callable[[Tensor], bool]
    ) -> None:
        """Counts one operation that has to do with the device, as a `TorchDispatchMode` gets it."""
        self.operations += 1
        self.kernels += is_kernel(func)
        self.casts += _is_cast(func, args, kwargs, on_device)
        for kind, what in _waits(func, args, kwargs, on_device):
            (self.reads if kind == "read" else self.uploads)[what, place()] += 1


def is_kernel(func: Any) -> bool:
    """Whether an operation starts work on the device: no view and no mere allocation."""
    name = func._schema.name.removeprefix("aten::")
    views = [r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns]
    return name not in _ALLOCATIONS and not any(views)


def _is_cast(func: Any, args: Any, kwargs: Mapping[str, Any], on_device: Callable[[Tensor], bool]) -> bool:
    asked = kwargs.get("dtype")
    name = func._schema.name.removeprefix("aten::")
    return name == "_to_copy" and asked not in (None, args[0].dtype) and on_device(args[0])


def place() -> str:
    """The line of `train` or `extract` that runs, as folder/file.py:line; of what is around it where there is none."""
    frame, outside = sys._getframe(1), "outside of train"
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.name.startswith("test_") and outside == "outside of train":
            outside = f"{file.name}:{frame.f_lineno}"
        for stage in (TRAIN, EXTRACT):
            if "site-packages" not in file.parts and stage in file.resolve().parents:
                return f"{file.resolve().relative_to(stage)}:{frame.f_lineno}"
        frame = frame.f_back
    return outside


def count_operations(call: Callable[[], object]) -> Counts:
    """What a call does, as if all its tensors were on a device. Copies then have no direction and are no waits."""
    counts = Counts()

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counts.note(
                func, args, {k: v for k, v in (kwargs or {}).items() if k != "device"}, lambda _: True
            )
            return func(*args, **(kwargs or {}))

    with Mode():
        call()
    return counts


def table(rows: Mapping[str, Counts]) -> str:
    """A row for each of `rows`."""
    width = max(map(len, rows))
    head = f"{'':{width}} {'operations':>10} {'kernels':>8} {'reads':>6} {'uploads':>8}"
    lines = [
        f"{name:{width}} {c.operations:10} {c.kernels:8} {c.reads.total():6} {c.uploads.total():8}"
        for name, c in rows.items()
    ]
    return "\n".join([head, *lines])


def _waits(
    func: Any, args: Any, kwargs: Mapping[str, Any], on_device: Callable[[Tensor], bool]
) -> list[tuple[str, str]]:
    """("read" or "upload", what) for each wait that an operation is."""
    name = func._schema.name.removeprefix("aten::")
    tensors = [x for x in tree_leaves((args, dict(kwargs))) if isinstance(x, Tensor)]
    there = [on_device(x) for x in tensors]
    if name in _READS or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        return [("read", name)] if any(there) else []
    if name in _INDEXING and there[0]:
        return [
            ("upload", "index on the CPU") if not on_device(index) else ("read", "index by a mask")
            for index in args[1]
            if index is not None and (not on_device(index) or index.dtype in (torch.bool, torch.uint8))
        ]
    if name == "copy_" and there[0] != there[1] and not _option(func, args, kwargs, "non_blocking"):
        return [("upload", "copy_")] if there[0] else [("read", "copy_ to the CPU")]
    if name == "_to_copy" and kwargs.get("device") is not None and not kwargs.get("non_blocking"):
        target = torch.device(kwargs["device"]).type
        if there[0] and target == "cpu":
            return [("read", "to the CPU")]
        if not there[0] and target != "cpu":
            return [("upload", "to the device")]
    return []


def _option(func: Any, args: Any, kwargs: Mapping[str, Any], name: str) -> Any:
    names = [a.name for a in func._schema.arguments]
    return kwargs.get(name, args[names.index(name)] if len(args) > names.index(name) else False)
