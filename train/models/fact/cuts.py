"""Frames cut into segments, where the best class changes: what block U works on. Where the cuts lie has no gradient.

How many segments there are has to be known on the CPU, so a GPU is waited for: once for each video and block U.

Shapes: T frames, S segments, C classes, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Cuts:
    """Segments of one video, in their order."""

    of_frame_T: Tensor  # int64: the segment that a frame is in
    count: int  # S

    def sums(self, x_TD: Tensor) -> Tensor:
        """[S, D]."""
        return x_TD.new_zeros(self.count, x_TD.shape[1]).index_add(0, self.of_frame_T, x_TD)

    def means(self, x_TD: Tensor, counted_T: Tensor | None = None) -> Tensor:
        """Of each segment's frames, or of those that count [S, D]; 0 where none does."""
        ones_T1 = torch.ones_like(x_TD[:, :1])
        if counted_T is not None:
            ones_T1 = counted_T[:, None].to(x_TD.dtype)
        return self.sums(x_TD * ones_T1) / self.sums(ones_T1).clamp(min=1)

    def on_frames(self, x_SD: Tensor) -> Tensor:
        """Each segment's row for all of its frames [T, D]."""
        return x_SD[self.of_frame_T]

    def middles(self) -> Tensor:
        """The frame in the middle of each segment [S]; of two the first."""
        ones_T1 = torch.ones_like(self.of_frame_T)[:, None]
        lengths_S = self.sums(ones_T1)[:, 0]
        last_S = lengths_S.cumsum(0) - 1
        return (last_S - lengths_S + 1 + last_S) // 2


def cut(scores_TC: Tensor) -> Cuts:
    """Maximal runs of the best class."""
    best_T = scores_TC.argmax(1)
    changed_T = (best_T[1:] != best_T[:-1]).long()
    of_frame_T = torch.cat([changed_T.new_zeros(1), changed_T.cumsum(0)])
    return Cuts(of_frame_T, int(of_frame_T[-1]) + 1)
