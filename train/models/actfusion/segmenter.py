"""ActFusion as a `Segmenter` that also anticipates, on one of the two streams.

Shapes: B batch, F feature size, C classes, T frames, U frames with those that lie ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.actdiff.config import ActDiffConfig, DecoderConfig, EncoderConfig
from rhas.train.models.actdiff.masks import ConditionMaskConfig
from rhas.train.models.actdiff.segmenter import DiffusionSegmenter
from rhas.train.models.actfusion.masks import InputMaskConfig, draw_input_mask
from rhas.train.models.actfusion.model import ActFusion
from rhas.train.models.losses import BoundaryConfig
from rhas.train.models.segmenter import Anticipator
from rhas.train.models.streams import Stream, StreamName

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class ActFusionConfig(ActDiffConfig):
    """An ActFusion. Sizes are HopaDIFF's of ActDiff; the paper's for its data sets (Table S5) are presets.

    Where paper and released code differ, this is the paper: one kind of mask in five, boundary curve below .5.
    """

    stream: StreamName = "holistic"
    encoder: EncoderConfig = EncoderConfig(position_bias=True)
    decoder: DecoderConfig = DecoderConfig(position_bias=True)
    condition_masks: ConditionMaskConfig = ConditionMaskConfig(kinds=("full",))
    input_masks: InputMaskConfig = InputMaskConfig()
    boundary: BoundaryConfig = BoundaryConfig(kept_below=0.5)


class ActFusionSegmenter(DiffusionSegmenter, Anticipator):
    """ActFusion on one of the two streams."""

    def __init__(self, feature_size: int, classes: int, config: ActFusionConfig):
        super().__init__(classes, config)
        self.config = config
        self.features = Stream(config.stream, feature_size)
        self.actfusion = ActFusion(feature_size, classes, config)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of encoder and decoder, on masked frames as on the others: `encoder_cross_entropy` and so on."""
        y_BCT, boundary_B1T = self.targets(batch)
        kept_B1T = draw_input_mask(
            self.config.input_masks,
            self.config.boundary.kept_below,
            y_BCT,
            boundary_B1T,
            batch.lengths_B,
            generators,
        )
        features_BFT = self.actfusion.masked(self.features(batch), kept_B1T)
        encoder_BCT, decoder_BCT = self.actfusion(
            features_BFT, y_BCT, boundary_B1T, batch.real_BT, generators
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
        return self.actfusion.heads(self.features(batch), batch.real_BT, generators)

    @torch.no_grad()
    def anticipate(self, batch: Batch, frames: Sequence[int], generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, U], zero in the padding. In eval mode only."""
        assert not self.training, "anticipate draws no dropout: call eval() first"
        ahead = max(frames) - batch.mask_BT.shape[1]
        features_BFT, seen_BT = F.pad(self.features(batch), (0, ahead)), F.pad(batch.mask_BT, (0, ahead))
        until_B1 = torch.tensor(frames, device=seen_BT.device)[:, None]
        mask_BU = torch.arange(max(frames), device=seen_BT.device) < until_B1
        return self.actfusion.anticipate(features_BFT, seen_BT, mask_BU, generators)
