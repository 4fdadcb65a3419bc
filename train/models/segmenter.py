"""What the training loop, evaluation and prediction ask of a model, whatever its architecture.

A model is one file that defines a frozen config dataclass and a `Segmenter`, and one line in
`train.models.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from train.data import Batch


class Segmenter(nn.Module, ABC):
    """Batches of both feature streams to scores of every class at every frame."""

    @abstractmethod
    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalar losses of a training step, weighted; their sum is what is minimised."""

    @abstractmethod
    def predict(self, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """Scores in [0, 1] [B, C, T], zero in the padding. One generator per sample of the batch."""
