"""A backward pass in Python, where PyTorch's own would ask a driver for streams.

The same functions in the same order, each called with the sum of what its users gave it, as the engine does it: cast
to the dtype and summed to the shape that was put out forwards.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction


def backward(loss: Tensor) -> None:
    """What `loss.backward()` does, for a scalar without hooks; saved tensors are kept until the graph is gone."""
    root = loss.grad_fn
    assert root is not None and loss.dim() == 0, (
        f"got {loss.shape = }, expected a scalar that needs gradients"
    )
    waiting, nodes, found = defaultdict(int), [root], {root}
    while nodes:
        for node, _ in nodes.pop().next_functions:
            if node is not None:
                waiting[node] += 1
                if node not in found:
                    found.add(node)
                    nodes.append(node)
    given: dict[Any, list[Tensor | None]] = {root: [torch.ones_like(loss)]}
    ready, order = [(0, 0, root)], 0
    while ready:
        _, _, node = heapq.heappop(ready)
        grads = given.pop(node, None) or [None] * len(node._input_metadata)
        done = (
            _called(node, grads) if any(g is not None for g in grads) else [None] * len(node.next_functions)
        )
        for grad, (after, index) in zip(done, node.next_functions, strict=True):
            if after is None:
                continue
            into = given.setdefault(after, [None] * len(after._input_metadata))
            if grad is not None:
                grad = _as(grad, after._input_metadata[index])
                into[index] = grad if into[index] is None else into[index] + grad
            waiting[after] -= 1
            if waiting[after] == 0:
                order += 1  # the function that came last forwards comes first
                heapq.heappush(ready, (-getattr(after, "_sequence_nr", lambda: 0)(), order, after))


def _called(node: Any, grads: list[Tensor | None]) -> list[Tensor | None]:
    with torch.no_grad():
        if isinstance(node, BackwardCFunction):  # gets zeros where there is nothing
            made = [
                g if g is not None else _zeros(m) for g, m in zip(grads, node._input_metadata, strict=True)
            ]
            out = node.apply(*made)
        else:
            out = node(*grads)
    out = out if isinstance(out, tuple) else (out,)
    return list(out[: len(node.next_functions)]) if node.next_functions else []


def _as(grad: Tensor, metadata: Any) -> Tensor:
    if tuple(grad.shape) != tuple(metadata.shape):
        grad = grad.sum_to_size(metadata.shape)
    return grad if grad.dtype == metadata.dtype else grad.to(metadata.dtype)


def _zeros(metadata: Any) -> Tensor:
    return torch.zeros(metadata.shape, dtype=metadata.dtype, device=metadata.device)
