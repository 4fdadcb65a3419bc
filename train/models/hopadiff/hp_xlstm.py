"""HP-xLSTM of HopaDIFF (Eqs. 4 and 5): both branches through their own mLSTM, with input gates that talk.

Each branch is a residual block, z + W mLSTM(LayerNorm(z)). Two choices beyond the paper's text, both from
xLSTM's own block (Beck et al., 2024, arXiv:2405.04517): the layer norm before it, and a parameter-free layer
norm of every head's h before the output gate, because the memory of hundreds of frames, divided by a sum with
signs, varies widely in size. Eq. 5 as printed feeds z^h to both input gates; here each branch has its own.

The mLSTMs are causal. BCA looks at the whole of the other branch, so the block is causal only without it.

Shapes: B batch, D channels, T frames, H heads, E = D / H channels of a head. h is holistic, p partial.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.models.hopadiff.input_gates import INPUT_GATE_BIAS_STD, CrossInputGates, SeparateInputGates
from rhas.train.models.hopadiff.mlstm import CHUNK, mlstm_chunkwise
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.precision import in_float32

FORGET_GATE_BIAS = (3.0, 6.0)  # spread over the heads: memories of about 20 to 400 frames to begin with


class HPxLSTMConfig(Settings):
    """How HP-xLSTM is built. Its width is that of the features it gets."""

    heads: int = Field(4, ge=1)
    cross_gates: bool = True
    """BCA; without it each branch's input gates see that branch only."""
    gate_width: int = Field(64, ge=1)
    chunk: int = Field(CHUNK, ge=1)
    """Frames; changes time and memory, not the result."""


class HPxLSTM(nn.Module):
    """ẑ^h, ẑ^p = HP-xLSTM(z^h, z^p) (HopaDIFF, Eq. 4)."""

    def __init__(self, width: int, config: HPxLSTMConfig):
        super().__init__()
        assert width % config.heads == 0, f"got {width = } and {config.heads = }"
        self.norm_holistic, self.norm_partial = nn.LayerNorm(width), nn.LayerNorm(width)
        self.input_gates: CrossInputGates | SeparateInputGates
        if config.cross_gates:
            self.input_gates = CrossInputGates(width, config.heads, config.gate_width)
        else:
            self.input_gates = SeparateInputGates(width, config.heads)
        self.holistic = MLSTM(width, config.heads, config.chunk)
        self.partial = MLSTM(width, config.heads, config.chunk)

    def forward(self, holistic_BDT: Tensor, partial_BDT: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        """ẑ^h, ẑ^p [B, D, T], zero in the padding."""
        h_BDT = self.norm_holistic(masked(holistic_BDT, mask_BT).transpose(1, 2)).transpose(1, 2)
        p_BDT = self.norm_partial(masked(partial_BDT, mask_BT).transpose(1, 2)).transpose(1, 2)
        input_h_BHT, input_p_BHT = self.input_gates(h_BDT, p_BDT, mask_BT)
        out_h_BDT = holistic_BDT + self.holistic(h_BDT, mask_BT, input_h_BHT)
        out_p_BDT = partial_BDT + self.partial(p_BDT, mask_BT, input_p_BHT)
        return masked(out_h_BDT, mask_BT), masked(out_p_BDT, mask_BT)


class LoneXLSTM(nn.Module):
    """HP-xLSTM for one branch without the other: z + W mLSTM(LayerNorm(z)), with input gates of its own."""

    def __init__(self, width: int, config: HPxLSTMConfig):
        super().__init__()
        heads = config.heads
        assert width % heads == 0, f"got {width = } and {heads = }"
        self.norm = nn.LayerNorm(width)
        self.input_gate = nn.Linear(width, heads)
        nn.init.normal_(self.input_gate.bias, std=INPUT_GATE_BIAS_STD)
        self.mlstm = MLSTM(width, heads, config.chunk)

    def forward(self, z_BNT: Tensor, mask_BT: Mask) -> tuple[Tensor]:
        """ẑ [B, N, T] alone in a tuple, zero in the padding, as z has to be."""
        x_BTN = self.norm(z_BNT.transpose(1, 2))
        input_BHT = self.input_gate(x_BTN).transpose(1, 2)
        return (z_BNT + self.mlstm(x_BTN.transpose(1, 2), mask_BT, input_BHT),)


class MLSTM(nn.Module):
    """Projections, forget and output gates around the mLSTM; the input gates' pre-activations come from outside."""

    def __init__(self, width: int, heads: int, chunk: int = CHUNK):
        super().__init__()
        self.heads, self.chunk = heads, chunk
        self.qkv = nn.Linear(width, 3 * width)
        self.forget_gate = nn.Linear(width, heads)
        self.output_gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        with torch.no_grad():
            self.forget_gate.bias.copy_(torch.linspace(*FORGET_GATE_BIAS, heads))

    def forward(self, x_BDT: Tensor, mask_BT: Mask, input_BHT: Tensor) -> Tensor:
        """W (σ(õ) ⊙ norm(h)) [B, D, T], zero in the padding. `input_BHT` holds ĩ."""
        x_BTD = masked(x_BDT, mask_BT).transpose(1, 2)
        q_BHTE, k_BHTE, v_BHTE = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x_BTD).chunk(3, dim=2)
        )
        forget_BHT = self.forget_gate(x_BTD).transpose(1, 2)
        # Running sums over thousands of frames, and exponentials of them: nothing for bfloat16.
        h_BHTE = in_float32(mlstm_chunkwise)(q_BHTE, k_BHTE, v_BHTE, input_BHT, forget_BHT, self.chunk)
        h_BTD = F.layer_norm(h_BHTE, h_BHTE.shape[-1:]).transpose(1, 2).flatten(2)
        return masked(self.out(torch.sigmoid(self.output_gate(x_BTD)) * h_BTD).transpose(1, 2), mask_BT)
