"""The layer that ActDiff's encoder and decoder are stacks of (Liu et al., 2023, arXiv:2303.17959).

x + FFN(InstanceNorm(dilated_conv(drop x) + attention(drop x))). The i-th layer of a stack has dilation 2^i.

Shapes: B batch, D channels, T frames.
"""

from __future__ import annotations

from torch import Tensor, nn

from rhas.train.data.generators import Generators
from rhas.train.models.layers.dilated_attention import DilatedAttention, QueryKey
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.masking import Mask, drop, instance_norm, masked
from rhas.train.models.layers.pointwise import Pointwise


class ActDiffLayer(nn.Module):
    """One dilated convolution and one dilated attention side by side, then a feed-forward network."""

    def __init__(
        self, width: int, kernel: int, dilation: int, dropout: float, condition_channels: int = 0,
        position_bias: bool = False,
    ) -> None:  # fmt: skip
        """`kernel` (odd) is both the size of the convolution and the number of neighbours attended to."""
        super().__init__()
        self.dropout = dropout
        self.conv = DilatedConv(width, kernel, dilation)
        self.attention = DilatedAttention(width, kernel, dilation, condition_channels, position_bias)
        self.ffn = nn.Sequential(Pointwise(width, width), nn.ReLU(), Pointwise(width, width))

    def forward(
        self,
        x_BDT: Tensor,
        mask_BT: Mask,
        condition: QueryKey | None = None,
        generators: Generators | None = None,
    ) -> Tensor:
        """[B, D, T], zero in the padding, as x has to be. The condition is projected: see `DilatedAttention`.

        `generators` has the dropout, in training mode only.
        """
        # Zeros behind the end are what the convolution sees before the start as well.
        inner_BDT = drop(x_BDT, self.dropout, generators) if self.training else x_BDT
        mixed_BDT = self.conv(inner_BDT) + self.attention(inner_BDT, mask_BT, condition)
        return masked(x_BDT + self.ffn(instance_norm(mixed_BDT, mask_BT)), mask_BT)
