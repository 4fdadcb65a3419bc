"""What a batch draws for a device that isn't there: generators of the CPU, as `torch.Generator` asks for the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch

from rhas.train.data import Batch
from rhas.train.data.generators import Generators


class Draws:
    """`Generators` of the CPU whose draws are on a device: `drawn` calls a method of theirs there."""

    def __init__(
        self, real: Generators, drawn: Callable[[Callable[[], Any]], Any], told: Callable[[str, int], None]
    ):
        """`told(what, times)` gets to know of reads."""
        self._real, self._drawn, self._told = real, drawn, told

    def __len__(self) -> int:
        return len(self._real)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if name == "each":
            self._told("a video's own generator", len(value))
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            out = self._drawn(lambda: value(*args, **kwargs))
            return Draws(out, self._drawn, self._told) if isinstance(out, Generators) else out

        return call


def placed(batch: Batch, draws: Callable[[Generators], Any]) -> Batch:
    """The batch, with `draws` of the CPU's generators for those of any other device."""

    class Placed(Batch):
        def generators(self, device: torch.device | str, *purpose: int | str) -> Any:
            real = super().generators("cpu", *purpose)
            return real if torch.device(device).type == "cpu" else draws(real)

    return Placed(**{field.name: getattr(batch, field.name) for field in fields(batch)})
