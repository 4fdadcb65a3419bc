"""LTContext as a `Segmenter`: on one stream or both, with every stage supervised.

Shapes: B batch, F feature size, C classes, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rhas.manifests.common.configs import Settings
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.layers.masking import masked
from rhas.train.models.losses import LossConfig, label_loss, smoothing_loss, weighted
from rhas.train.models.ltcontext.model import LTContext, LTContextNetworkConfig
from rhas.train.models.segmenter import SupervisedSegmenter
from rhas.train.models.streams import StreamNames, Streams

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class LTContextConfig(Settings):
    """An LTContext, the streams that it sees and the losses that train it: of each stage, as in the paper."""

    network: LTContextNetworkConfig = LTContextNetworkConfig()
    stream: StreamNames = "holistic"
    """both: one above the other."""
    link: Link = "sigmoid"
    losses: LossConfig = LossConfig(cross_entropy=1.0, smoothing=0.17)


class LTContextSegmenter(SupervisedSegmenter):
    """LTContext on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: LTContextConfig):
        super().__init__(classes, config.link)
        self.loss_config = config.losses
        self.streams = Streams(config.stream, feature_size)
        self.ltcontext = LTContext(feature_size * len(self.streams), classes, config.network)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of each stage: `stage1_cross_entropy`, `stage1_smoothing` and so on."""
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        losses = {}
        for number, logits_BCT in enumerate(self._logits(batch, generators), start=1):
            losses[f"stage{number}_cross_entropy"] = label_loss(
                logits_BCT,
                y_BCT,
                batch.valid_BT,
                self.link,
                self.class_weight_C,
                self.loss_config.over_classes,
            )
            losses[f"stage{number}_smoothing"] = smoothing_loss(logits_BCT, batch.valid_BT, self.link)
        return weighted(losses, self.loss_config.weights)

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """The last stage's scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        return masked(probabilities(self._logits(batch, None)[-1].float(), self.link), batch.real_BT)

    def _logits(self, batch: Batch, generators: Generators | None) -> list[Tensor]:
        logits: list[Tensor] = self.ltcontext(self.streams(batch), batch.real_BT, self.link, generators)
        return logits
