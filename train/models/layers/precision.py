"""What runs in which precision under autocast, where torch can't know it: our own backward passes, and sums.

Autocast casts what goes into the operations that it knows. A `torch.autograd.Function` is none of them, and its
backward pass runs outside autocast: what it saved and what comes back have to be of one type already.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the type that autocast would compute in; as they are without autocast."""
    kind = tensors[0].device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def without_autocast(like: Tensor) -> AbstractContextManager[Any]:
    """A context in which operations on such a tensor's device run in the types that they get."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """The function outside autocast, its bfloat16 and float16 tensors as float32."""

    @wraps(function)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = [x for x in args if isinstance(x, Tensor)]
        with without_autocast(tensors[0]):
            return function(*map(wide, args), **{k: wide(x) for k, x in kwargs.items()})

    return widened


def wide(x: Any) -> Any:
    """A bfloat16 or float16 tensor as float32; anything else as it is."""
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x
