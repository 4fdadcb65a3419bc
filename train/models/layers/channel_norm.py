"""Layer norm over the channels of each frame, in the layout [B, D, T]."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Each frame by itself, with a weight and a bias for each channel: padding has no part in it, but gets the bias."""

    def forward(self, x_BDT: Tensor) -> Tensor:
        """[B, D, T]."""
        return super().forward(x_BDT.transpose(1, 2)).transpose(1, 2)
