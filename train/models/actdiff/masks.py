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
from rhas.train.data.generators import Generators

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

    `kept_below` is `BoundaryConfig`'s. All masks that there are get made, and one taken: to ask which are needed
    would make a GPU wait.
    """
    drawn_B = generators.integers(len(config.kinds))
    everything = torch.ones_like(boundary_B1T, dtype=torch.bool)
    masks: dict[Kind, Tensor] = {
        "full": everything,
        "zero": ~everything,
        "boundary": boundary_B1T < kept_below,
    }
    if "segment" in config.kinds:
        masks["segment"] = ~frames_of_drawn(y_BCT, config.actions, generators)
    return one_each([masks[kind] for kind in config.kinds], drawn_B)


def one_each(masks: list[Tensor], drawn_B: Tensor) -> Tensor:
    """Of the masks, each [B, 1, T], the one that was drawn for each video."""
    return torch.stack(masks)[drawn_B, torch.arange(len(drawn_B), device=drawn_B.device)]


def frames_of_drawn(y_BCT: Tensor, actions: int, generators: Generators) -> Tensor:
    """Frames [B, 1, T] of `actions` actions drawn among those that a video has, or of all if it has fewer."""
    on_BCT = y_BCT > 0
    ranks_BC = generators.uniform_rows(y_BCT.shape[1])[..., 0].masked_fill(~on_BCT.any(2), -1)
    return (on_BCT & highest(ranks_BC, actions)[:, :, None]).any(1, keepdim=True)


def highest(ranks_BN: Tensor, count: int) -> Tensor:
    """Where the `count` highest ranks of each video are, or all if there are fewer, bool [B, N]; below 0 is none."""
    top = ranks_BN.topk(min(count, ranks_BN.shape[1]), dim=1)
    return torch.zeros_like(ranks_BN).scatter(1, top.indices, (top.values >= 0).to(ranks_BN.dtype)) > 0
