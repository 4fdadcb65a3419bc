"""ASQuery as a `Segmenter`: on one stream or both, for one label a frame or several.

Its scores are each class's own, whatever the link; that says how they are refined: softmax by votes, sigmoid by means.

Shapes: B batch, F feature size, C classes, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rhas.manifests.common.configs import Settings
from rhas.train.models.asquery.config import (
    ASQueryLossConfig,
    ASQueryNetworkConfig,
    BoundaryTargetConfig,
    RefinementConfig,
)
from rhas.train.models.asquery.losses import boundary_curve, boundary_loss, dice_loss, focal_loss
from rhas.train.models.asquery.model import ASQuery
from rhas.train.models.asquery.refinement import boundary_peaks, means_between, votes
from rhas.train.models.diffusion.labels import Link
from rhas.train.models.layers.masking import masked
from rhas.train.models.losses import weighted
from rhas.train.models.segmenter import SupervisedSegmenter
from rhas.train.models.streams import StreamNames, Streams

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class ASQueryConfig(Settings):
    """An ASQuery, the streams that it sees, what trains it, and how its scores are read."""

    network: ASQueryNetworkConfig = ASQueryNetworkConfig()
    stream: StreamNames = "holistic"
    """both: one above the other."""
    link: Link = "sigmoid"
    losses: ASQueryLossConfig = ASQueryLossConfig()
    boundaries: BoundaryTargetConfig = BoundaryTargetConfig()
    refinement: RefinementConfig = RefinementConfig()


class ASQuerySegmenter(SupervisedSegmenter):
    """ASQuery on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: ASQueryConfig):
        super().__init__(classes, config.link)
        self.config = config
        self.streams = Streams(config.stream, feature_size)
        self.asquery = ASQuery(self.streams.feature_size, classes, config.network)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """`focal`, `dice` and `boundary`, means over the decoder's outputs; nothing is drawn."""
        config, valid_BT = self.config.losses, batch.valid_BT
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        curve_BT = boundary_curve(batch.labels_BCT, valid_BT, self.config.boundaries)
        outputs = self.asquery(self.streams(batch), batch.real_BT)
        focal, dice, boundary = [], [], []
        for logits_BCT, boundary_BT in outputs:
            focal.append(
                focal_loss(logits_BCT, y_BCT, valid_BT, self.class_weight_C, config.alpha, config.gamma)
            )
            dice.append(dice_loss(logits_BCT, y_BCT, valid_BT))
            boundary.append(boundary_loss(boundary_BT, curve_BT, valid_BT))
        each = {"focal": focal, "dice": dice, "boundary": boundary}
        means = {name: torch.stack(losses).mean(0) for name, losses in each.items()}
        return weighted(means, {"focal": config.focal, "dice": config.dice, "boundary": config.boundary})

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """The refined scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        return self.heads(batch, generators)["refined"]

    @torch.no_grad()
    def heads(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """`refined`, between boundaries, and `frames`, each frame by itself. In eval mode only."""
        assert not self.training, "predict is for eval mode: call eval() first"
        last = self.asquery(self.streams(batch), batch.real_BT)[-1]
        frames_BCT = masked(last.classes_BCT.sigmoid(), batch.real_BT)
        peaks_BT = boundary_peaks(last.boundary_BT.sigmoid(), batch.real_BT, self.config.refinement)
        segmented_BCT = votes(frames_BCT) if self.link == "softmax" else frames_BCT
        return {"refined": means_between(segmented_BCT, peaks_BT, batch.real_BT), "frames": frames_BCT}
