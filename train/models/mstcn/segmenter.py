"""MS-TCN++ as a `Segmenter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from rhas.train.models.layers.masking import Mask
from rhas.train.models.mstcn.model import MSTCN, MSTCNNetworkConfig
from rhas.train.models.staged import StagedConfig, StagedSegmenter

if TYPE_CHECKING:
    from rhas.train.data.generators import Generators


class MSTCNConfig(StagedConfig):
    """An MS-TCN++, the streams that it sees and the losses that train it: of each stage, as in the paper."""

    network: MSTCNNetworkConfig = MSTCNNetworkConfig()


class MSTCNSegmenter(StagedSegmenter):
    """MS-TCN++ on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: MSTCNConfig):
        super().__init__(feature_size, classes, config)
        self.mstcn = MSTCN(self.streams.feature_size, classes, config.network)

    def stages(self, features_BFT: Tensor, mask_BT: Mask, generators: Generators | None) -> list[Tensor]:
        """Logits of each stage [B, C, T]."""
        logits: list[Tensor] = self.mstcn(features_BFT, mask_BT, self.link, generators)
        return logits
