"""Masks of the condition in training (ActDiff, Liu et al., 2023, arXiv:2303.17959, Section 4.2).

Frames of the condition are blanked so that the decoder learns what labels are like without it: `full` blanks
none, `zero` all (where actions come in a video), `boundary` those near a change of labels, `segment` those
of an action drawn from the video (which actions go together).

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators, permuted

Kind = Literal["full", "zero", "boundary", "segment"]


class ConditionMaskConfig(Settings):
    """Which masks there are. One is drawn for each video at each step; listed twice, it is drawn twice as often."""

    kinds: tuple[Kind, ...] = Field(("full", "zero", "boundary", "segment", "segment"), min_length=1)
    actions: int = Field(1, ge=1)
    """How many actions `segment` blanks."""


def draw_condition_mask(
    config: ConditionMaskConfig,
    kept_below: float,
    y_BCT: Tensor,
    boundary_B1T: Tensor,
    generators: Generators,
) -> Tensor:
    """Which frames of the condition each video keeps, bool [B, 1, T], by a mask drawn for each video.

    `kept_below` is `BoundaryConfig`'s.
    """
    kept = []
    for y_CT, curve_1T, generator in zip(y_BCT, boundary_B1T, generators.each, strict=True):
        kind = config.kinds[permuted(len(config.kinds), 1, generator)[0]]
        kept.append(_kept(kind, config.actions, curve_1T < kept_below, y_CT, generator))
    return torch.stack(kept)


def _kept(kind: Kind, actions: int, far_1T: Tensor, y_CT: Tensor, generator: torch.Generator) -> Tensor:
    """The frames [1, T] that a mask of this kind keeps; `far_1T` are those far from a change of labels."""
    everything = torch.ones_like(far_1T)
    if kind == "full":
        return everything
    if kind == "zero":
        return ~everything
    if kind == "boundary":
        return far_1T
    present = y_CT.bool().any(1).nonzero()[:, 0]
    drawn = present[permuted(len(present), actions, generator)]
    return ~y_CT[drawn].bool().any(0, keepdim=True)
