"""The heads of RefAtomNet, on what is known of each picture.

Shapes: B videos, T frames (1 of a clip), D width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from rhas.train.data.generators import Generators
from rhas.train.models.layers.masking import drop


class ClassHead(nn.Module):
    """Logits of the classes: three layers, ReLU between, dropout before the first ReLU as in the released code."""

    def __init__(self, width: int, classes: int, inner: Sequence[int], dropout: float):
        super().__init__()
        first, second = inner
        self.first, self.second = nn.Linear(width, first), nn.Linear(first, second)
        self.last, self.dropout = nn.Linear(second, classes), dropout

    def forward(self, fused_BTD: Tensor, generators: Generators | None = None) -> Tensor:
        """[B, C, T]."""
        x_BTD = self.first(fused_BTD)
        if self.training:
            x_BTD = drop(x_BTD.transpose(1, 2), self.dropout, generators).transpose(1, 2)
        logits_BTC: Tensor = self.last(self.second(x_BTD.relu()).relu())
        return logits_BTC.transpose(1, 2)


class BoxHead(nn.Sequential):
    """Corners x1 y1 x2 y2 as shares of the frame; nothing keeps them in it, nor in order."""

    def __init__(self, width: int, inner: Sequence[int]):
        first, second = inner
        super().__init__(
            nn.Linear(width, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 4)
        )
