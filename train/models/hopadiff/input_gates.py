"""Input gates of the two branches: cross-attended as in HopaDIFF (BCA, Eq. 5), or each on its own.

Both take the features of the two branches and give the pre-activations ĩ of each branch's mLSTM, one per head.

Shapes: B batch, D channels, T frames, G gate embedding, H heads. x^h is holistic, x^p partial.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.models.layers.masking import Mask, masked

INPUT_GATE_BIAS_STD = 0.1


class SeparateInputGates(nn.Module):
    """ĩ = W x + b for each branch by itself: HP-xLSTM without BCA."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.holistic, self.partial = _gate(width, heads), _gate(width, heads)

    def forward(self, holistic_BDT: Tensor, partial_BDT: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        """ĩ^h, ĩ^p [B, H, T], zero in the padding."""
        return masked(self.holistic(holistic_BDT), mask_BT), masked(self.partial(partial_BDT), mask_BT)


class CrossInputGates(nn.Module):
    """Bidirectional cross-input gate attention (BCA) of HopaDIFF, Section 4.2.

    Each branch is projected to a gate embedding g. With one similarity S = g^hᵀ g^p / √G, holistic frames
    attend along the rows of S, partial ones along its columns; what comes back is added to g, and the sum is
    mapped to one pre-activation per head. As S is shared, the two directions are one attention with the
    roles of the sequences swapped, so no T×T matrix is ever held.
    """

    def __init__(self, width: int, heads: int, gate_width: int = 64):
        super().__init__()
        self.embed_holistic, self.embed_partial = nn.Linear(width, gate_width), nn.Linear(width, gate_width)
        self.holistic, self.partial = _gate(gate_width, heads), _gate(gate_width, heads)

    def forward(self, holistic_BDT: Tensor, partial_BDT: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        """ĩ^h, ĩ^p [B, H, T], zero in the padding."""
        h_BTG = self.embed_holistic(masked(holistic_BDT, mask_BT).transpose(1, 2))
        p_BTG = self.embed_partial(masked(partial_BDT, mask_BT).transpose(1, 2))
        gate_h_BGT = (h_BTG + _attend(h_BTG, p_BTG, mask_BT)).transpose(1, 2)
        gate_p_BGT = (p_BTG + _attend(p_BTG, h_BTG, mask_BT)).transpose(1, 2)
        return masked(self.holistic(gate_h_BGT), mask_BT), masked(self.partial(gate_p_BGT), mask_BT)


def _attend(own_BTG: Tensor, other_BTG: Tensor, mask_BT: Mask) -> Tensor:
    """softmax(own · otherᵀ / √G) other [B, T, G], over the real frames of the other sequence."""
    own_B1TG, other_B1TG = own_BTG[:, None], other_BTG[:, None]
    seen_B11T = None if mask_BT is None else mask_BT[:, None, None]
    return F.scaled_dot_product_attention(own_B1TG, other_B1TG, other_B1TG, attn_mask=seen_B11T)[:, 0]


def _gate(width: int, heads: int) -> nn.Conv1d:
    gate = nn.Conv1d(width, heads, 1)
    assert gate.bias is not None
    nn.init.normal_(gate.bias, std=INPUT_GATE_BIAS_STD)
    return gate
