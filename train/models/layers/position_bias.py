"""The relative position bias of ActFusion (arXiv:2412.04353): how far to the right a neighbour is, as a number.

It is added to the attention's dot products. A distance counts from the leftmost neighbour and is clipped at 100
frames, so in layers of large dilation several neighbours share an entry.

Shapes: K neighbours, U distances that occur.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FARTHEST = 100  # frames


class PositionBias(nn.Module):
    """A learned number for each of `distances`, 0 to begin with."""

    index_K: Tensor

    def __init__(self, neighbours: int, dilation: int):
        super().__init__()
        clipped = [min(j * dilation, FARTHEST) for j in range(neighbours)]
        self.distances = sorted(set(clipped))
        self.weight = nn.Parameter(torch.zeros(len(self.distances)))
        index = [self.distances.index(distance) for distance in clipped]
        self.register_buffer("index_K", torch.tensor(index), persistent=False)

    def forward(self) -> Tensor:
        """The bias of each neighbour, leftmost first [K]."""
        return self.weight[self.index_K]
