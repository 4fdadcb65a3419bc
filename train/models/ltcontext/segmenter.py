"""LTContext as a `Segmenter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from rhas.train.models.layers.masking import Mask
from rhas.train.models.losses import LossConfig
from rhas.train.models.ltcontext.model import LTContext, LTContextNetworkConfig
from rhas.train.models.staged import StagedConfig, StagedSegmenter

if TYPE_CHECKING:
    from rhas.train.data.generators import Generators


class LTContextConfig(StagedConfig):
    """An LTContext, the streams that it sees and the losses that train it: of each stage, as in the paper."""

    network: LTContextNetworkConfig = LTContextNetworkConfig()
    losses: LossConfig = LossConfig(cross_entropy=1.0, smoothing=0.17)


class LTContextSegmenter(StagedSegmenter):
    """LTContext on the streams of a batch."""

    def __init__(self, feature_size: int, classes: int, config: LTContextConfig):
        super().__init__(feature_size, classes, config)
        self.ltcontext = LTContext(self.streams.feature_size, classes, config.network)

    def stages(self, features_BFT: Tensor, mask_BT: Mask, generators: Generators | None) -> list[Tensor]:
        """Logits of each stage [B, C, T]."""
        logits: list[Tensor] = self.ltcontext(features_BFT, mask_BT, self.link, generators)
        return logits
