"""What an ASQuery is configured by. Defaults: the authors' configuration for Breakfast, the only one they released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from rhas.manifests.common.configs import Settings
from rhas.train.models.actdiff.config import Kernel

Dilation = Annotated[int, Field(ge=1)]


class ASQueryNetworkConfig(Settings):
    """The network but for the sizes that the data decides."""

    width: int = Field(512, ge=4, multiple_of=4)
    heads: int = Field(4, ge=1)
    """Of every attention."""
    window: Kernel = 25
    """Frames around a frame, at each time scale, that the backbone's attention sees."""
    conv_dilations: tuple[Dilation, ...] = Field((2, 4), min_length=1)
    """Of the convolutions before the backbone's blocks."""
    stem_dilations: tuple[Dilation, ...] = (4, 8)
    """Of the blocks that see every frame."""
    branch_dilations: tuple[Dilation, ...] = (8, 16, 32, 64, 128)
    """Of the blocks that halve the frames, each its own."""
    scales: int = Field(3, ge=1)
    """Of which queries read, coarse to fine: that many blocks of the decoder."""
    prior: float | None = Field(0.01, gt=0, lt=1)
    """What every class scores to begin with, by a bias of its own: without one the focal loss, a sum over classes,
    begins where most of them are found everywhere. null: no such bias, as in the released code."""
    released_padding: int | None = Field(None, ge=1)
    """Frames that every video is padded to, and then padding leaks into the last frames, as in the released code (its
    `max_seq_len`); null: padding changes nothing."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.width % self.heads:
            yield "heads", f"a divisor of width, which is {self.width}"
        if self.scales > 1 + len(self.branch_dilations):
            yield "scales", f"at most {1 + len(self.branch_dilations)}, one more than branch_dilations"


class BoundaryTargetConfig(Settings):
    """The curve that the boundary query learns: a Gaussian around the last frame before each change of labels."""

    sigma: float = Field(6.0, gt=0)
    """Its width, in frames that the model sees."""
    reach: int = Field(10, ge=0)
    """Frames on either side that it goes to; where two changes are nearer, the later one's counts."""


class RefinementConfig(Settings):
    """Which frames are boundaries: peaks of the boundary query's scores."""

    threshold: float = Field(0.1, gt=0, le=1)
    window: Kernel = 15
    """Frames around a peak of which none is higher."""


class ASQueryLossConfig(Settings):
    """Weights of the losses, each a mean over the decoder's outputs."""

    focal: float = Field(1.0, ge=0)
    dice: float = Field(1.0, ge=0)
    boundary: float = Field(1.0, ge=0)
    alpha: float = Field(0.25, gt=0, lt=1)
    """Of the focal loss: the weight of frames that a class is in; those that it isn't in have the rest."""
    gamma: float = Field(2.0, ge=1)
    """Of the focal loss: how little frames count that are right already."""
