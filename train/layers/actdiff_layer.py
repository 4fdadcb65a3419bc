"""The layer that ActDiff's encoder and decoder are stacks of (Liu et al., 2023, arXiv:2303.17959).

x + FFN(InstanceNorm(dilated_conv(drop x) + attention(drop x))). The i-th layer of a stack has dilation 2^i.

Shapes: B batch, D channels, N channels of the condition, T frames.
"""

from __future__ import annotations

from torch import Tensor, nn

from train.draws import Draws
from train.layers.dilated_attention import DilatedAttention
from train.layers.masking import drop, factor, instance_norm


class ActDiffLayer(nn.Module):
    """One dilated convolution and one dilated attention side by side, then a feed-forward network."""

    def __init__(
        self, width: int, kernel: int, dilation: int, dropout: float, condition_channels: int = 0
    ) -> None:
        """`kernel` (odd) is both the size of the convolution and the number of neighbours attended to."""
        super().__init__()
        self.dropout = dropout
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation)
        self.attention = DilatedAttention(width, kernel, dilation, condition_channels)
        self.ffn = nn.Sequential(nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, width, 1))

    def forward(
        self, x_BDT: Tensor, mask_BT: Tensor, condition_BNT: Tensor | None = None,
        draws: Draws | None = None, bias_K: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """[B, D, T], zero in the padding. `draws` has the dropout, in training mode only."""
        real_B1T = factor(mask_BT, x_BDT)
        inner_BDT = (
            x_BDT * real_B1T
        )  # the convolution must see zeros behind the end, as it does before the start
        if self.training:
            inner_BDT = drop(inner_BDT, self.dropout, draws)
        mixed_BDT = self.conv(inner_BDT) + self.attention(inner_BDT, mask_BT, condition_BNT, bias_K)
        return (x_BDT + self.ffn(instance_norm(mixed_BDT, mask_BT))) * real_B1T
