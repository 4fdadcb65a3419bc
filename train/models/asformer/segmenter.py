"""ASFormer as a `Segmenter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from rhas.train.models.asformer.model import ASFormer, ASFormerNetworkConfig
from rhas.train.models.layers.masking import Mask
from rhas.train.models.staged import StagedConfig, StagedSegmenter

if TYPE_CHECKING:
    from rhas.train.data.generators import Generators


class ASFormerConfig(StagedConfig):
    """An ASFormer, the streams that it sees and the losses that train it: of each stage, as in the paper."""

    network: ASFormerNetworkConfig = ASFormerNetworkConfig()


class ASFormerSegmenter(StagedSegmenter):
    """ASFormer on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: ASFormerConfig):
        super().__init__(feature_size, classes, config)
        self.asformer = ASFormer(self.streams.feature_size, classes, config.network)

    def stages(self, features_BFT: Tensor, mask_BT: Mask, generators: Generators | None) -> list[Tensor]:
        """Logits of the encoder and of each decoder [B, C, T]."""
        logits: list[Tensor] = self.asformer(features_BFT, mask_BT, self.link, generators)
        return logits
