"""Masks of the input in training (ActFusion, arXiv:2412.04353, Section 4.3 and Supplement C).

`none` keeps all frames, `anticipative` those up to a part of the video, `random` leaves out a few clips, `boundary`
the frames near a change of labels, `relation` those of one action.

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators, permuted

Kind = Literal["none", "anticipative", "random", "boundary", "relation"]
Share = Annotated[float, Field(gt=0, lt=1)]


class InputMaskConfig(Settings):
    """Which masks there are. One is drawn for each video at each step; listed twice, it is drawn twice as often.

    `clips` is the paper's for Breakfast; it has 25 for 50Salads (the released code 5 to 10) and 20 for GTEA.
    """

    kinds: tuple[Kind, ...] = Field(get_args(Kind), min_length=1)
    observed: tuple[Share, ...] = Field((0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), min_length=1)
    """Of `anticipative`: one is drawn."""
    clip: int = Field(10, ge=1)
    """Frames of a clip of `random`."""
    clips: int = Field(10, ge=1)
    """That `random` leaves out."""


def draw_input_mask(
    config: InputMaskConfig, kept_below: float, y_BCT: Tensor, boundary_B1T: Tensor, generators: Generators
) -> Tensor:
    """Which frames each video keeps, bool [B, 1, T], by a mask drawn for each; what it is in the padding is open.

    `kept_below` is `BoundaryConfig`'s.
    """
    longest = y_BCT.shape[2]
    videos = zip(y_BCT, boundary_B1T, generators.lengths, generators.each, strict=True)
    kept = [
        F.pad(
            _kept(config, y_CT[:, :frames], curve_1T[0, :frames] < kept_below, generator),
            (0, longest - frames),
        )
        for y_CT, curve_1T, frames, generator in videos
    ]
    return torch.stack(kept)[:, None]


def _kept(config: InputMaskConfig, y_CT: Tensor, far_T: Tensor, generator: torch.Generator) -> Tensor:
    """The frames [T] that a drawn mask keeps; `far_T` are those far from a change of labels."""
    kind = config.kinds[permuted(len(config.kinds), 1, generator)[0]]
    frames = len(far_T)
    kept_T = torch.ones_like(far_T)
    if kind == "anticipative":
        share = config.observed[permuted(len(config.observed), 1, generator)[0]]
        kept_T[max(1, int(share * frames)) :] = False
    elif kind == "random":
        for clip in permuted(-(-frames // config.clip), config.clips, generator):
            kept_T[clip * config.clip : (clip + 1) * config.clip] = False
    elif kind == "boundary":
        kept_T = far_T
    elif kind == "relation":
        present = y_CT.bool().any(1).nonzero()[:, 0]
        for c in present[permuted(len(present), 1, generator)]:
            kept_T &= ~y_CT[c].bool()
    return kept_T
