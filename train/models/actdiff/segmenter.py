"""ActDiff as a `Segmenter`, and what it shares with HopaDIFF: how a batch's labels are used.

Only valid frames are supervised, with features or without. To the diffusion an invalid frame is one without actions,
whatever its labels say, so they reach neither the losses nor the decoder's input.

Shapes: B batch, F feature size, C classes, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rhas.train.models.actdiff.config import ActDiffConfig
from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.losses import actdiff_losses, encoder_losses, weighted
from rhas.train.models.segmenter import SupervisedSegmenter
from rhas.train.models.streams import Stream, StreamName

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class ActDiffSegmenterConfig(ActDiffConfig):
    """An ActDiff and the stream that it sees."""

    stream: StreamName = "holistic"


class DiffusionSegmenter(SupervisedSegmenter):
    """Labels and losses of a segmenter that denoises labels."""

    def __init__(self, classes: int, config: ActDiffConfig):
        super().__init__(classes, config.link)
        self.loss_config, self.boundary_config = config.losses, config.boundary

    def targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The labels that are noised [B, C, T], 0 where invalid, and their boundary curve [B, 1, T]."""
        assert batch.boundary_B1T is not None, "got a batch without the curve that `boundary.sigma` asks for"
        return batch.labels_BCT * batch.valid_BT[:, None], batch.boundary_B1T

    def learnt(self, batch: Batch) -> Tensor:
        """The labels that losses see [B, C, T]: softened, if that is asked for."""
        return self.targets(batch)[0] if batch.soft_labels_BCT is None else batch.soft_labels_BCT

    def supervise(self, encoder_BCT: Tensor, decoder_BCT: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses of one encoder and decoder by name, means over the batch. Weight 0 leaves one out."""
        _, boundary_B1T = self.targets(batch)
        losses = actdiff_losses(
            encoder_BCT, decoder_BCT, self.learnt(batch), boundary_B1T, batch.valid_BT, self.link, self.class_weight_C,
            self.loss_config.over_classes, self.boundary_config.target,
        )  # fmt: skip
        return weighted(losses, {**self.loss_config.weights, "boundary": self.boundary_config.weight})

    def supervise_encoder(self, logits_BCT: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses of a head that denoises nothing."""
        losses = encoder_losses(
            logits_BCT,
            self.learnt(batch),
            batch.valid_BT,
            self.link,
            self.class_weight_C,
            self.loss_config.over_classes,
        )
        return weighted(losses, self.loss_config.weights)


class ActDiffSegmenter(DiffusionSegmenter):
    """ActDiff on one of the two streams."""

    def __init__(self, feature_size: int, classes: int, config: ActDiffSegmenterConfig):
        super().__init__(classes, config)
        self.features = Stream(config.stream, feature_size)
        self.actdiff = ActDiff(feature_size, classes, config)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of encoder and decoder: `encoder_cross_entropy`, `decoder_boundary` and so on."""
        y_BCT, boundary_B1T = self.targets(batch)
        encoder_BCT, decoder_BCT = self.actdiff(
            self.features(batch), y_BCT, boundary_B1T, batch.real_BT, generators
        )
        return self.supervise(encoder_BCT, decoder_BCT, batch)

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, T], zero in the padding. In eval mode only."""
        return self.heads(batch, generators)["decoder"]

    @torch.no_grad()
    def heads(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Those of `ActDiff.heads`. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        return self.actdiff.heads(self.features(batch), batch.real_BT, generators)
