"""A small net that tells from a cut-out around a person where the sides of their box are.

Each side is found by itself along its axis, as a distribution over places whose mean it is: Side-Aware Boundary
Localization (Wang et al. 2020, arXiv:1912.04260), with the distributions of Generalized Focal Loss (Li et al. 2020,
arXiv:2006.04388). A map of the cut-out is reduced to a line along each axis, by weights that it chooses itself.

Shapes: N cut-outs of SIZE x SIZE pixels; D channels of the map, which is half as wide; axis x before y.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 64
MARGIN = 0.3  # around a box, as a share of its longer side: further out no side is found
CHANNELS = 4  # red, green, blue, and whether a pixel is in the box as it was found
_WIDTHS = 24, 48, 64  # of the map at a half, a quarter, and below
_MAP = 32
_GROUPS = 8


class BoxNet(nn.Module):
    """Cut-outs [N, CHANNELS, SIZE, SIZE] to logits [N, 2, 2, SIZE]: of axis and side (first, last), over pixels."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = _WIDTHS
        self.stem = nn.Sequential(
            nn.Conv2d(CHANNELS, fine, 5, stride=2, padding=2), nn.GroupNorm(_GROUPS, fine), nn.ReLU()
        )
        self.down = nn.ModuleList(
            [
                Block(fine, fine),
                Block(fine, middle, 2),
                Block(middle, coarse, 2),
                nn.Sequential(Block(coarse, coarse, 2), Block(coarse, coarse)),
            ]
        )
        self.lateral = nn.ModuleList([nn.Conv2d(width, _MAP, 1) for width in (fine, middle, coarse, coarse)])
        self.join = Block(_MAP, _MAP)
        self.weigh = nn.Conv2d(_MAP, 2, 1)
        self.sides = nn.ModuleList([Sides(_MAP), Sides(_MAP)])

    def forward(self, cutouts_NCSS: Tensor) -> Tensor:
        levels = [self.stem(cutouts_NCSS)]
        for down in self.down:
            levels.append(down(levels[-1]))
        up = self.lateral[-1](levels[-1])
        for lateral, level in zip(reversed(self.lateral[:-1]), reversed(levels[1:-1]), strict=True):
            up = lateral(level) + F.interpolate(up, scale_factor=2, mode="nearest")
        map_NDss = self.join(F.relu(up))
        weight_N2ss = self.weigh(map_NDss)
        x_NDs = (map_NDss * weight_N2ss[:, :1].softmax(2)).sum(2)
        y_NDs = (map_NDss * weight_N2ss[:, 1:].softmax(3)).sum(3)
        return torch.stack([side(line) for side, line in zip(self.sides, (x_NDs, y_NDs), strict=True)], 1)


class Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2016)."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, width, 3, stride, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(_GROUPS, width), nn.GroupNorm(_GROUPS, width)])
        same = stride == 1 and before == width
        self.around = nn.Identity() if same else nn.Conv2d(before, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        within = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.around(x) + self.norms[1](self.second(within)))


class Sides(nn.Module):
    """A line [N, D, S / 2] to logits of its first and last side [N, 2, S]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.line = nn.Sequential(
            nn.Conv1d(width, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU(),
            nn.Conv1d(width, 4, 1),
        )  # fmt: skip

    def forward(self, line_NDs: Tensor) -> Tensor:
        # Two halves of each pixel of the line.
        return self.line(line_NDs).unflatten(1, (2, 2)).transpose(2, 3).flatten(2)
