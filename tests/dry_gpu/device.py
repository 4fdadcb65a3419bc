"""A GPU of which there is nothing but shapes: CUDA tensors of FakeTensorMode, beside real ones on the CPU.

Needs PyTorch's CUDA build, no driver. What isn't on the device is computed; what is has shape, dtype and device, and
is refused what CUDA refuses. Where the device would be waited for, that is counted and answered: as it is, of few
numbers that came from the CPU and of what was made of them; else True, the number of frames for a whole number, 1 for
any other, zeros for a tensor. So all videos have to be of the full length.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import Any, Self
from unittest import mock

import torch
from device_draws import Draws, placed
from operations import Counts, place
from python_backward import backward
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from rhas.train.data import Batch
from rhas.train.data.generators import Generators

_KNOWN = 4096  # numbers: shapes of feature maps, token ids, and what is made of them


class DryGpu(TorchDispatchMode):
    """While it is entered, "cuda:0" works. `counts`, `flops` and `peak` bytes are of what it was asked for."""

    device = torch.device("cuda", 0)

    def __init__(self, frames: int):
        super().__init__()
        self.frames, self.counts = frames, Counts()
        self.live = self.peak = 0
        self._flops, self._stack = FlopCounterMode(display=False), ExitStack()

    @property
    def flops(self) -> int:
        return self._flops.get_total_flops()

    def batch(self, batch: Batch) -> Batch:
        """The batch, still on the CPU, whose draws will be on the device: an operation each, whatever they cost."""
        return placed(batch, self._draws)

    def clear(self) -> None:
        """What is counted from here on; what is held stays so."""
        self.counts, self.peak = Counts(), self.live
        self._flops.flop_counts.clear()

    def __enter__(self) -> Self:
        self._stack.enter_context(
            mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        )
        self._stack.enter_context(mock.patch("torch.cuda.is_bf16_supported", lambda *_: True))
        self._stack.enter_context(mock.patch.object(Tensor, "backward", backward))
        self._stack.enter_context(mock.patch.object(FakeTensor, "tolist", lambda x: self._listed(x)))
        self._stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        self._stack.enter_context(self._flops)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._stack.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.ops.prim.device.default:
            return func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        asked = kwargs.get("device")
        if not any(map(_here, tensors)) and (asked is None or torch.device(asked).type == "cpu"):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        self.counts.note(func, args, kwargs, _here)
        name = func._schema.name.removeprefix("aten::")
        if name == "_local_scalar_dense":
            return self._answer(args[0])
        if name == "nonzero":
            return args[0].new_zeros(args[0].numel(), args[0].dim(), dtype=torch.int64)
        if name == "_to_copy" and asked is not None and torch.device(asked).type == "cpu":
            with unset_fake_temporarily():
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        out = func(*args, **kwargs)
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor) and _here(x)]
        for x in made:
            self._hold(x)
        self._know(made, func, tensors, args, kwargs)
        return out

    def _know(
        self, made: list[Tensor], func: Any, tensors: list[Tensor], args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Keeps the numbers of what was made, where all that it was made of is known."""
        fit = (
            tensors and all(_known(x) is not None for x in tensors) and all(x.numel() <= _KNOWN for x in made)
        )
        if fit and torch.Tag.nondeterministic_seeded not in func.tags:
            if kwargs.get("device") is not None:
                kwargs["device"] = torch.device("cpu")
            with unset_fake_temporarily():
                args, kwargs = tree_map(_known_or_itself, (args, kwargs))
                numbers = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
        else:
            numbers = [None] * len(made)
        for x, own in zip(made, numbers, strict=True):
            x.numbers = own

    def _draws(self, real: Generators) -> Any:
        def drawn(call: Any) -> Any:
            out = call()
            return out.to(self.device, non_blocking=True) if isinstance(out, Tensor) else out

        def told(what: str, times: int) -> None:
            self.counts.reads[what, place()] += times

        return Draws(real, drawn, told)

    def _answer(self, x: Tensor) -> Any:
        if (numbers := _known(x)) is not None:
            with unset_fake_temporarily():
                return numbers.item()
        if x.dtype == torch.bool:
            return True
        return 1.0 if x.dtype.is_floating_point else self.frames

    def _listed(self, x: Tensor) -> Any:
        """One read, which a FakeTensor's own `tolist` makes one for each number."""
        self.counts.reads["tolist", place()] += 1
        numbers = _known(x)
        with unset_fake_temporarily():
            return (torch.ones(x.shape) if numbers is None else numbers).tolist()

    def _hold(self, x: Tensor) -> None:
        """Counts a tensor's memory until it is freed."""
        storage = x.untyped_storage()
        if not hasattr(storage, "counted"):
            storage.counted = True
            size = storage.nbytes()
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live -= size


def _known(x: Tensor) -> Tensor | None:
    """The numbers of a tensor, as one of the CPU; None if only its shape is there, or it is large."""
    return getattr(x, "numbers", None) if _here(x) else x if x.numel() <= _KNOWN else None


def _known_or_itself(x: Any) -> Any:
    return x if not isinstance(x, Tensor) else _known(x)


def _here(x: Tensor) -> bool:
    return x.device.type == "cuda"
