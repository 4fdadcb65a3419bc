"""ActFusion (Gong et al., NeurIPS 2024, arXiv:2412.04353): ActDiff that also says what has not been seen.

A learned token stands in the place of *input* frames that are masked, before the encoder (Eq. 5); ActDiff blanks the
encoder's output instead. In training the masks are drawn (`rhas.train.models.actfusion.masks`); in inference nothing is
masked to segment, and all that lies ahead is masked to anticipate. Every attention has a relative position bias.

Shapes: B batch, F feature size, C classes, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import ActDiffConfig
from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.layers.masking import Mask


class ActFusion(ActDiff):
    """Features [B, F, T], of which some may be masked, to labels [B, C, T]."""

    def __init__(self, feature_size: int, classes: int, config: ActDiffConfig):
        super().__init__(feature_size, classes, config)
        self.mask_token_F = nn.Parameter(0.02 * torch.randn(feature_size))

    def masked(self, features_BFT: Tensor, kept_B1T: Tensor) -> Tensor:
        """The features with the token where they are not kept [B, F, T]."""
        return torch.where(kept_B1T, features_BFT, self.mask_token_F[:, None])

    @torch.no_grad()
    def anticipate(
        self, features_BFT: Tensor, seen_BT: Tensor, mask_BT: Mask, generators: Generators,
        start_BCT: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Labels in [0,1] [B, C, T] of all frames of `mask_BT`, seen or not, zero in the padding."""
        return self.sample(self.masked(features_BFT, seen_BT[:, None]), mask_BT, generators, start_BCT)
