"""`torch.compile` of a training step's losses, and of the networks in prediction: an option, `compile=true`.

All that is random is drawn outside of what is compiled: torch's generators can't be part of a graph. What will be
asked for, and in which order, is the same in each step: the first one, which isn't compiled, writes it down.

In: a model. Out: a function in the place of `model.losses`; there is one graph, without a break, for each combination
of what is padded and what is not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rhas.train.data import Batch
from rhas.train.data.generators import Drawn, Generators, Kind, Recording
from rhas.train.models.segmenter import Segmenter

Losses = Callable[[Batch, Generators], dict[str, Tensor]]


def compiled_losses(model: Segmenter, backend: str = "inductor") -> Losses:
    """What `model.losses` gives, up to rounding; the first call runs as it is, the second compiles."""
    plan: list[tuple[Kind, int]] = []
    compiled = torch.compile(model.losses, fullgraph=True, backend=backend)

    def losses(batch: Batch, generators: Generators) -> dict[str, Tensor]:
        if plan:
            return compiled(batch, Drawn(generators, plan))
        recording = Recording(generators)
        found = model.losses(batch, recording)
        plan.extend(recording.plan)
        return found

    return losses
