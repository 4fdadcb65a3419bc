"""What the training loop, evaluation and prediction ask of a model, whatever its architecture.

A model is one file that defines its config, a `Settings`, and a `Segmenter`, and one line in
`rhas.train.models.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from rhas.train.data import Batch, SampleSet
    from rhas.train.data.generators import Generators
    from rhas.train.models.diffusion.labels import Link


class Segmenter(nn.Module, ABC):
    """Batches of both feature streams to scores of every class at every frame."""

    link: Link = "sigmoid"  # softmax: one label a frame, the class with the best score
    one_graph = True  # whether a step's losses can be compiled
    remarks: tuple[str, ...] = ()  # lines for whoever trains, of what `prepare` found

    def prepare(self, training: SampleSet) -> None:
        """Sees the training split once, for what losses take from it as a whole. By default nothing."""

    @abstractmethod
    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Named scalar losses of a training step, weighted; their sum is what is minimised.

        Each is a mean over the batch's videos, so that a batch in parts is the batch as a whole."""

    @abstractmethod
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, T], zero in the padding."""

    def heads(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Scores [B, C, T] of each part of the model that can be read, by name; the first is what `predict` gives.

        Which of them is read is chosen on the validation split (`rhas.train.metrics.readout`).
        """
        return {"model": self.predict(batch, generators)}


class Anticipator(Segmenter):
    """A segmenter that also scores frames that lie ahead of those that it is given."""

    @abstractmethod
    def anticipate(self, batch: Batch, frames: Sequence[int], generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, U] of `frames` frames of each video, U the most; zero behind them.

        The batch holds the first frames of each, those that are seen. `generators` are of `frames` frames.
        """


class SupervisedSegmenter(Segmenter):
    """What segmenters share whose classes may be weighted in the loss."""

    class_weight_C: Tensor

    def __init__(self, classes: int, link: Link):
        super().__init__()
        self.classes, self.link = classes, link
        self.register_buffer("class_weight_C", torch.ones(classes))

    def weight_classes(self, weight_C: Tensor) -> None:
        """Sets the weights of the classes, all 1 to begin with: see `losses.class_weights`."""
        self.class_weight_C.copy_(weight_C)
