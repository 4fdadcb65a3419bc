"""What models hear of a person's box besides its picture: where it is, and how sure the detector was.

Shapes: T frames.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from rhas.manifests.common.configs import Settings

CHANNELS = 6


class BoxConfig(Settings):
    """Boxes as input. Features that others computed have none."""

    channels: bool = False
    """Both streams also hold whether there is a box, how sure it is, its centre, width and height."""
    least_sure: float = Field(0.0, ge=0, le=1)
    """Partial features of boxes that are less sure are left out, as if nobody had been found."""

    @property
    def size(self) -> int:
        """How many numbers a frame has besides its features."""
        return CHANNELS if self.channels else 0


def box_channels(
    box_T4: NDArray[np.float32], sure_T: NDArray[np.float32], has_T: NDArray[np.bool_]
) -> Tensor:
    """[T, 6] float32 of about unit scale; zero without a box, or where `has_T` says not to look.

    `box_T4` are x1 y1 x2 y2 as shares of the frame, NaN without one, `sure_T` probabilities.
    """
    low_T2, high_T2 = box_T4[:, :2], box_T4[:, 2:]
    sure_T1 = sure_T[:, None] * 2 - 1
    rows_T6 = np.concatenate(
        [np.ones_like(sure_T1), sure_T1, (low_T2 + high_T2) - 1, (high_T2 - low_T2) * 2 - 1], axis=1
    )
    there_T = np.isfinite(rows_T6).all(axis=1) & has_T
    return torch.from_numpy(np.where(there_T[:, None], rows_T6, 0).astype(np.float32))


def corners(channels_BXT: Tensor) -> Tensor:
    """x1 y1 x2 y2 as shares of the frame [B, 4, T], of what `box_channels` makes of boxes; zero without one."""
    there_B1T, middle_B2T, size_B2T = (
        channels_BXT[:, :1],
        channels_BXT[:, 2:4] + 1,
        (channels_BXT[:, 4:] + 1) / 2,
    )
    return torch.cat([middle_B2T - size_B2T, middle_B2T + size_B2T], 1) / 2 * there_B1T
