"""ASQuery's network: backbone, pyramid and decoder (Gan et al., ICME 2024).

Shapes: B batch, F feature size, T frames, U frames with the padding of the released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.asquery.backbone import Backbone
from rhas.train.models.asquery.config import ASQueryNetworkConfig
from rhas.train.models.asquery.decoder import Output, QueryDecoder
from rhas.train.models.asquery.pyramid import Pyramid
from rhas.train.models.layers.masking import Mask


class ASQuery(nn.Module):
    """Features [B, F, T] to an output before the decoder's first block and after each."""

    def __init__(self, feature_size: int, classes: int, config: ASQueryNetworkConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(feature_size, config)
        self.pyramid = Pyramid(config)
        self.decoder = QueryDecoder(classes, config)

    def forward(self, features_BFT: Tensor, mask_BT: Mask) -> list[Output]:
        """The last one is what is read."""
        T = features_BFT.shape[2]
        more = max(0, (self.config.released_padding or 0) - T)
        if more:
            real_BT = torch.ones_like(features_BFT[:, 0], dtype=torch.bool) if mask_BT is None else mask_BT
            features_BFT, mask_BT = F.pad(features_BFT, (0, more)), F.pad(real_BT, (0, more))
        read, compared_BDU = self.pyramid(self.backbone(features_BFT, mask_BT))
        outputs = self.decoder(read, compared_BDU, mask_BT)
        return [Output(classes[:, :, :T], boundary[:, :T]) for classes, boundary in outputs]
