"""What segmenters have in common that refine their own scores stage by stage, without diffusion.

Every stage is supervised, by cross entropy and the truncated mean squared error of MS-TCN (Farha & Gall, 2019,
arXiv:1903.01945, Eq. 3 and 4); the last one is read.

Shapes: B batch, F feature size, C classes, T frames.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rhas.manifests.common.configs import Settings
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.losses import LossConfig, encoder_losses, weighted
from rhas.train.models.segmenter import SupervisedSegmenter
from rhas.train.models.streams import StreamNames, Streams

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class StagedConfig(Settings):
    """The streams that are seen, and the losses of each stage: their weights are MS-TCN's and ASFormer's."""

    stream: StreamNames = "holistic"
    """both: one above the other."""
    link: Link = "sigmoid"
    losses: LossConfig = LossConfig(cross_entropy=1.0, smoothing=0.15)


class StagedSegmenter(SupervisedSegmenter):
    """A network of stages on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: StagedConfig):
        super().__init__(classes, config.link)
        self.loss_config = config.losses
        self.streams = Streams(config.stream, feature_size)

    @abstractmethod
    def stages(self, features_BFT: Tensor, mask_BT: Mask, generators: Generators | None) -> list[Tensor]:
        """Logits of each stage [B, C, T]. `generators` has the dropout."""

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of each stage: `stage1_cross_entropy`, `stage1_smoothing` and so on."""
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        losses = {}
        for number, logits_BCT in enumerate(
            self.stages(self.streams(batch), batch.real_BT, generators), start=1
        ):
            own = encoder_losses(
                logits_BCT, y_BCT, batch.valid_BT, self.link, self.class_weight_C, self.loss_config.over_classes
            )  # fmt: skip
            losses.update({f"stage{number}_{name}": loss_B for name, loss_B in own.items()})
        return weighted(losses, self.loss_config.weights)

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """The last stage's scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        logits_BCT = self.stages(self.streams(batch), batch.real_BT, None)[-1]
        return masked(probabilities(logits_BCT.float(), self.link), batch.real_BT)
