"""A GPU that isn't there: tensors that say they are on one and hold their numbers on the CPU.

    with PretendGpu("meta") as gpu:
        train_step(model.to(gpu.device), optimiser, [gpu.batch(batch)], config, 0)
    print(gpu.counts.places())

What a GPU refuses is refused: operations between it and the CPU, and, on the device "cuda", what CUDA autocast
doesn't do. Where it would wait is counted. Its device is "cuda" for what needs no gradients, and "meta" for what does:
in PyTorch's CPU build the backward pass knows no CUDA. Numbers are the CPU's, so code goes on as it would.

All that is drawn comes from generators of the CPU and is then on the device. A video's own generator is not to be
drawn from outside of `Generators`, as what comes of it is read: asking for `each` counts as a read for each video.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest import mock

import torch
from device_draws import Draws, placed
from operations import Counts, place
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from rhas.train.data import Batch
from rhas.train.data.generators import Generators

# May have tensors of both sides among their arguments.
_CROSSING = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}


class _Tensor(torch.Tensor):
    """On the device `device`; `held` is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> _Tensor:
        out = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=device,
        )  # fmt: skip
        # A wrapper has no bits for what is conjugated or negated only when it is looked at.
        out.held = held.resolve_conj().resolve_neg()
        return out

    def __repr__(self, **_: Any) -> str:
        return f"on {self.device}: {self.held}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"got {func} on a tensor of a pretended GPU outside of it")


class _Functions(TorchFunctionMode):
    """What no dispatch mode gets whole.

    `tolist`; lists made tensors, whose numbers the meta device throws away; `[]` and what else asks for the driver of
    a device before it asks the device.
    """

    def __init__(self, counts: Counts):
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.tolist, Tensor.numpy) and isinstance(args[0], _Tensor):
            self.counts.reads[func.__name__, place()] += 1
            return func(args[0].held)
        if func is Tensor.__getitem__:
            return _item(*args)
        if func is Tensor.__setitem__ and isinstance(args[0], _Tensor):
            return _set_item(*args)
        if func is torch.tensor and kwargs.get("device") is not None:
            device = torch.device(kwargs.pop("device"))
            made = func(*args, **kwargs)
            return made if device.type == "cpu" else made.to(device)
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if "not linked with support for cuda" not in str(error):
                raise
            if func in (Tensor.__float__, Tensor.__int__):
                return (float if func is Tensor.__float__ else int)(args[0].item())
            name = {"__invert__": "bitwise_not"}.get(func.__name__, func.__name__)
            return getattr(torch.ops.aten, name)(*args, **kwargs)


def _item(x: Tensor, index: Any) -> Tensor:
    """x[index], of whole numbers, slices, None, ... and tensors or lists."""
    dim, chosen = 0, []
    for at in _full(x, index):
        if at is None:
            x, dim = x.unsqueeze(dim), dim + 1
        elif isinstance(at, slice):
            start, stop, step = at.indices(x.shape[dim])
            whole = (start, stop, step) == (0, x.shape[dim], 1)
            x, dim = x if whole else torch.ops.aten.slice(x, dim, start, max(start, stop), step), dim + 1
        elif isinstance(at, int):
            x = x.select(dim, at)
        else:
            chosen.append((dim, at if isinstance(at, Tensor) else torch.tensor(at)))
            dim += chosen[-1][1].dim() if chosen[-1][1].dtype == torch.bool else 1
    if not chosen:
        return x
    indices: list[Tensor | None] = [None] * (max(place for place, _ in chosen) + 1)
    for where, tensor in chosen:
        indices[where] = tensor
    return torch.ops.aten.index(x, indices)


def _set_item(x: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, without tensors in the index."""
    chosen = _item(x, index)
    assert all(not isinstance(at, (Tensor, list)) for at in _full(x, index)), f"got {index = }"
    torch.ops.aten.copy_(chosen, value) if isinstance(value, Tensor) else chosen.fill_(value)


def _full(x: Tensor, index: Any) -> list[Any]:
    """The parts of an index, with slices for its ellipsis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(
        1 if not (isinstance(at, Tensor) and at.dtype == torch.bool) else at.dim()
        for at in parts if at is not None and at is not ...
    )  # fmt: skip
    return [one for at in parts for one in ([slice(None)] * (x.dim() - used) if at is ... else [at])]


class PretendGpu(TorchDispatchMode):
    """The device, while it is entered. `counts` are of all that it was asked for."""

    def __init__(self, kind: str = "meta"):
        super().__init__()
        self.device = torch.device("cuda:0" if kind == "cuda" else kind)
        self.counts = Counts()
        self._drawing, self._stacks = False, []

    def batch(self, batch: Batch) -> Batch:
        """The batch, still on the CPU, whose draws will be on the device."""
        return placed(batch, self.draws)

    def draws(self, real: Generators) -> Any:
        def drawn(call: Callable[[], Any]) -> Any:
            with self._all_on_device():
                return call()

        def told(what: str, times: int) -> None:
            self.counts.reads[what, place()] += times

        return Draws(real, drawn, told)

    def __enter__(self) -> Self:
        stack = ExitStack()
        self._stacks.append(stack)
        stack.enter_context(mock.patch("torch.cuda._lazy_init"))
        stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        stack.enter_context(mock.patch("torch.cuda.is_bf16_supported", lambda *_: True))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the one that both sides have
        stack.enter_context(_Functions(self.counts))
        if self.device.type == "cuda":
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch._C._AutoDispatchBelowAutograd())
        # Else torch.tensor(…, device="cuda") is made where no mode sees it.
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._stacks.pop().close()

    @contextmanager
    def _all_on_device(self) -> Any:
        before, self._drawing = self._drawing, True
        try:
            yield
        finally:
            self._drawing = before

    def _here(self, tensor: Tensor) -> bool:
        return self._drawing or isinstance(tensor, _Tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._has_compatible_shallow_copy_type.default:
            return False  # a module that moves gets new parameters: old ones can't take over what a `_Tensor` holds
        kwargs = dict(kwargs or {})
        if func._can_decompose():  # reached whole where autograd, which takes such apart, is left out
            with _again(self):
                return func.decompose(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        here = [x for x in tensors if self._here(x)]
        asked = kwargs.get("device")
        on_device = bool(here) if asked is None else torch.device(asked).type != "cpu"
        on_device |= self._drawing
        name = func._schema.name.removeprefix("aten::")
        if here or on_device:
            self.counts.note(func, args, kwargs, self._here)
            others = [x for x in tensors if not self._here(x) and x.dim()]
            if others and here and name not in _CROSSING:
                raise RuntimeError(
                    f"{func} at {place()}: expected all tensors on one device, got {self.device} and cpu"
                )
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        outer = {id(x.held): x for x in tensors if isinstance(x, _Tensor)}
        args, kwargs = tree_map(_held, args), tree_map(_held, kwargs)
        out = func(*args, **kwargs)
        if name == "_to_copy" and asked is not None and out is args[0]:
            out = out.clone()
        if not on_device or (name == "copy_" and not isinstance(here and tensors[0], _Tensor)):
            return out
        return tree_map(lambda x: self._wrapped(x, outer), out)

    def _wrapped(self, x: Any, outer: dict[int, _Tensor]) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, _Tensor):
            return x
        return outer[id(x)] if id(x) in outer else _Tensor(x, self.device)


@contextmanager
def _again(mode: TorchDispatchMode) -> Any:
    """The mode, within its own dispatch."""
    TorchDispatchMode.__enter__(mode)
    try:
        yield
    finally:
        TorchDispatchMode.__exit__(mode, None, None, None)


def _held(x: Any) -> Any:
    return x.held if isinstance(x, _Tensor) else x
