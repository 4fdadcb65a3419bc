"""Heads that tell from a feature map where a person's joints and the sides of their box are: for training only.

Boxes are learnt from few numbers a person, and then follow figures' middles: limbs that reach out are missed. Asked for
every joint in every cell, the features come to know limbs, and the boxes with them.

Shapes: M maps of C channels and h x w cells, P persons of each (padded), J joints. Boxes and joints are shares of the
frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rhas.pipeline.world.figure import JOINTS

_EDGES = 0.25  # weight of the sides


class ShapeHead(nn.Module):
    """For each cell of a map: whether each joint lies there, where in it, and how far away the box's sides are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.which = nn.Conv2d(channels, len(JOINTS), 1)
        self.within = nn.Conv2d(channels, 2 * len(JOINTS), 1)  # x, y of each joint, in cells
        self.edges = nn.Conv2d(channels, 4, 1)  # left, top, right, bottom, in cells

    def forward(
        self, features_MChw: Tensor, boxes_MP4: Tensor, joints_MPJ2: Tensor, seen_MP: Tensor
    ) -> Tensor:
        """The loss, for the persons who are `seen`; of a person only cells at their box are asked."""
        maps, persons = torch.nonzero(seen_MP, as_tuple=True)  # N persons in all
        h, w = features_MChw.shape[2:]
        cells = features_MChw.new_tensor([w, h])
        box_N4 = boxes_MP4[maps, persons] * cells.repeat(2)
        joint_NJ2 = joints_MPJ2[maps, persons] * cells
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        middle_K2 = torch.stack([x, y], -1).flatten(0, 1).to(cells) + 0.5
        sides_NK4 = torch.cat([middle_K2 - box_N4[:, None, :2], box_N4[:, None, 2:] - middle_K2], -1)
        around_NK, inside_NK = (sides_NK4 > -1).all(-1), (sides_NK4 > 0).all(-1)

        cell_NJ2 = joint_NJ2.floor()
        in_map_NJ = ((cell_NJ2 >= 0) & (cell_NJ2 < cells)).all(-1)
        cell_NJ2 = torch.minimum(cell_NJ2.clamp(min=0), cells - 1)
        cell_NJ = (cell_NJ2[..., 1] * w + cell_NJ2[..., 0]).long()
        asked_NJ = in_map_NJ & around_NK.gather(1, cell_NJ)
        which_NJK = self.which(features_MChw).flatten(2)[maps].masked_fill(~around_NK[:, None], -1e4)
        right_NJ = which_NJK.log_softmax(-1).gather(2, cell_NJ[..., None])[..., 0]
        within_NJ2K = self.within(features_MChw).flatten(2).unflatten(1, (-1, 2))[maps]
        at_NJ2 = within_NJ2K.gather(3, cell_NJ[:, :, None, None].expand(-1, -1, 2, 1))[..., 0]
        off_NJ = (at_NJ2 - (joint_NJ2 - cell_NJ2)).abs().sum(-1)
        edges_NK4 = self.edges(features_MChw).flatten(2).transpose(1, 2)[maps]
        apart_NK = (edges_NK4 - sides_NK4).abs().sum(-1)
        return _mean(off_NJ - right_NJ, asked_NJ) + _EDGES * _mean(apart_NK, inside_NK)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return values.where(counted, 0.0).sum() / counted.sum().clamp(min=1)
