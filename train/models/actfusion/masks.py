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

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.masks import frames_of_drawn, highest, one_each

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
    config: InputMaskConfig, kept_below: float, y_BCT: Tensor, boundary_B1T: Tensor, lengths_B: Tensor,
    generators: Generators,
) -> Tensor:  # fmt: skip
    """Which frames each video keeps, bool [B, 1, T], by a mask drawn for each; what it is in the padding is open.

    `kept_below` is `BoundaryConfig`'s. As with ActDiff's masks, all there are get made and one is taken.
    """
    drawn_B = generators.integers(len(config.kinds))
    frames_B1 = lengths_B[:, None]
    at_T = torch.arange(y_BCT.shape[2], device=y_BCT.device)
    everything = torch.ones_like(boundary_B1T, dtype=torch.bool)
    masks: dict[Kind, Tensor] = {"none": everything, "boundary": boundary_B1T < kept_below}
    if "anticipative" in config.kinds:
        # Of each share the frames that are kept, at least one.
        kept_BK = torch.stack([(frames_B1[:, 0] * share).long().clamp(min=1) for share in config.observed], 1)
        kept_B1 = kept_BK.gather(1, generators.integers(len(config.observed))[:, None])
        masks["anticipative"] = (at_T < kept_B1)[:, None]
    if "random" in config.kinds:
        masks["random"] = ~_random_clips(config, at_T, frames_B1, generators)
    if "relation" in config.kinds:
        masks["relation"] = ~frames_of_drawn(y_BCT, 1, generators)
    return one_each([masks[kind] for kind in config.kinds], drawn_B)


def _random_clips(config: InputMaskConfig, at_T: Tensor, frames_B1: Tensor, generators: Generators) -> Tensor:
    """Frames [B, 1, T] of `clips` clips drawn among those that a video has, or of all if it has fewer."""
    # A number for each frame, of which a clip takes its first: padding must not change what is drawn after it.
    ranks_BN = generators.uniform(1)[:, 0].masked_fill(at_T >= frames_B1, -1)[:, :: config.clip]
    return highest(ranks_BN, config.clips)[:, at_T // config.clip][:, None]
