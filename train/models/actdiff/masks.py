"""Masks of the condition in training (ActDiff, Liu et al., 2023, arXiv:2303.17959, Section 4.2).

Frames of the condition are blanked so that the decoder learns what labels are like without it: `full` blanks
none, `zero` all (where actions come in a video), `boundary` those near a change of labels, `segment` those
of an action drawn from the video (which actions go together).

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from rhas.manifests.common.checks import require
from rhas.train.data.generators import Generators, permuted

Kind = Literal["full", "zero", "boundary", "segment"]


@dataclass(frozen=True)
class ConditionMaskConfig:
    """Which masks there are. One is drawn for each video at each step; listed twice, it is drawn twice as often."""

    kinds: tuple[Kind, ...] = ("full", "zero", "boundary", "segment", "segment")
    boundary_below: float = 0.3  # `boundary` keeps the frames whose boundary curve is below this
    actions: int = 1  # how many actions `segment` blanks

    def __post_init__(self) -> None:
        known = get_args(Kind)
        require(
            (
                bool(self.kinds) and set(self.kinds) <= set(known), "condition_masks.kinds", self.kinds,
                f"one or more of {', '.join(known)}",
            ),
            (
                0 < self.boundary_below <= 1, "condition_masks.boundary_below", self.boundary_below,
                "a number above 0, up to 1",
            ),
            (self.actions >= 1, "condition_masks.actions", self.actions, "at least 1"),
        )  # fmt: skip


def draw_condition_mask(
    config: ConditionMaskConfig, y_BCT: Tensor, boundary_B1T: Tensor, generators: Generators
) -> Tensor:
    """Which frames of the condition each video keeps, bool [B, 1, T], by a mask drawn for each video."""
    kept = [
        _kept(config, config.kinds[permuted(len(config.kinds), 1, generator)[0]], y_CT, curve_1T, generator)
        for y_CT, curve_1T, generator in zip(y_BCT, boundary_B1T, generators.each, strict=True)
    ]
    return torch.stack(kept)


def _kept(
    config: ConditionMaskConfig, kind: Kind, y_CT: Tensor, curve_1T: Tensor, generator: torch.Generator
) -> Tensor:
    """The frames [1, T] that a mask of this kind keeps."""
    everything = torch.ones_like(curve_1T, dtype=torch.bool)
    if kind == "full":
        return everything
    if kind == "zero":
        return ~everything
    if kind == "boundary":
        return curve_1T < config.boundary_below
    present = y_CT.bool().any(1).nonzero()[:, 0]
    drawn = present[permuted(len(present), config.actions, generator)]
    return ~y_CT[drawn].bool().any(0, keepdim=True)
