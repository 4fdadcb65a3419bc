"""MS-TCN++ (Li et al., TPAMI 2020, arXiv:2006.09220): multi-stage temporal convolutions for action segmentation.

The first stage turns features into logits, by layers that see near and far at once; each later one refines the
probabilities before it.

Shapes: B batch, F feature size, D width, C classes, T frames. mask_BT True = real frame.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import DropoutRate
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.layers.dilated_conv import DilatedConv
from rhas.train.models.layers.masking import Mask, drop, masked
from rhas.train.models.layers.pointwise import Pointwise


class MSTCNNetworkConfig(Settings):
    """The network but for the sizes that the data decides. Defaults: the paper's."""

    prediction_layers: int = Field(11, ge=1)
    """Of the first stage."""
    refinements: int = Field(3, ge=0)
    """Stages after the first."""
    refinement_layers: int = Field(10, ge=1)
    """Of each of them; the i-th has dilation 2^i."""
    width: int = Field(64, ge=1)
    dropout: DropoutRate = 0.5


class MSTCN(nn.Module):
    """Features [B, F, T] to the logits of every stage, each [B, C, T]."""

    def __init__(self, feature_size: int, classes: int, config: MSTCNNetworkConfig):
        super().__init__()
        width, layers = config.width, config.prediction_layers
        self.prediction = Stage(
            feature_size,
            classes,
            width,
            [DualDilatedLayer(width, 2 ** (layers - 1 - i), 2**i, config.dropout) for i in range(layers)],
        )
        self.refinements = nn.ModuleList(
            Stage(
                classes,
                classes,
                width,
                [ResidualLayer(width, 2**i, config.dropout) for i in range(config.refinement_layers)],
            )
            for _ in range(config.refinements)
        )

    def forward(
        self, features_BFT: Tensor, mask_BT: Mask, link: Link = "softmax", generators: Generators | None = None
    ) -> list[Tensor]:  # fmt: skip
        """Logits of each stage [B, C, T], zero in the padding. `link`: how they become the next one's input."""
        logits = [self.prediction(features_BFT, mask_BT, generators)]
        for stage in self.refinements:
            logits.append(stage(probabilities(logits[-1], link), mask_BT, generators))
        return logits


class Stage(nn.Module):
    """Inputs [B, X, T], a stack of layers, logits [B, C, T]."""

    def __init__(self, channels_in: int, classes: int, width: int, layers: list[nn.Module]):
        super().__init__()
        self.conv_in = Pointwise(channels_in, width)
        self.layers = nn.ModuleList(layers)
        self.conv_out = Pointwise(width, classes)

    def forward(self, inputs_BXT: Tensor, mask_BT: Mask, generators: Generators | None) -> Tensor:
        """Zero in the padding."""
        x_BDT = masked(self.conv_in(masked(inputs_BXT, mask_BT)), mask_BT)
        for layer in self.layers:
            x_BDT = layer(x_BDT, mask_BT, generators)
        return masked(self.conv_out(x_BDT), mask_BT)


class DualDilatedLayer(nn.Module):
    """x + ReLU(W [far convolution, near convolution]): one dilation falls over the layers, the other one grows."""

    def __init__(self, width: int, falling: int, growing: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.falling, self.growing = DilatedConv(width, 3, falling), DilatedConv(width, 3, growing)
        self.fusion = Pointwise(2 * width, width)

    def forward(self, x_BDT: Tensor, mask_BT: Mask, generators: Generators | None) -> Tensor:
        """[B, D, T], zero in the padding, as x has to be."""
        new_BDT = self.fusion(torch.cat([self.falling(x_BDT), self.growing(x_BDT)], dim=1)).relu()
        if self.training:
            new_BDT = drop(new_BDT, self.dropout, generators)
        return masked(x_BDT + new_BDT, mask_BT)


class ResidualLayer(nn.Module):
    """x + W ReLU(dilated convolution): MS-TCN's layer (arXiv:1903.01945, Eq. 1 and 2)."""

    def __init__(self, width: int, dilation: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.conv = DilatedConv(width, 3, dilation)
        self.out = Pointwise(width, width)

    def forward(self, x_BDT: Tensor, mask_BT: Mask, generators: Generators | None) -> Tensor:
        """[B, D, T], zero in the padding, as x has to be."""
        new_BDT = self.out(self.conv(x_BDT).relu())
        if self.training:
            new_BDT = drop(new_BDT, self.dropout, generators)
        return masked(x_BDT + new_BDT, mask_BT)
