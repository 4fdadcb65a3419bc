"""What an ActDiff is configured by. Defaults: HopaDIFF's paper, Section 5.1; dropouts and k from Supplement B."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from rhas.manifests.common.configs import Settings
from rhas.train.models.actdiff.masks import ConditionMaskConfig
from rhas.train.models.diffusion.labels import DiffusionConfig, Link
from rhas.train.models.losses import BoundaryConfig, LossConfig


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("an odd number, so that a frame is in the middle")
    return kernel


Kernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]


class EncoderConfig(Settings):
    """The encoder of one feature stream."""

    layers: int = Field(12, ge=1)
    width: int = Field(256, ge=1)
    kernel: Kernel = 5
    """Of the convolution, and neighbours of the attention."""
    condition_layers: tuple[int, ...] = Field((7, 8, 9), min_length=1)
    """Whose outputs, from 0, are the decoder's condition."""
    dropout: DropoutRate = 0.5
    channel_dropout: DropoutRate = 0.5
    temporal_dropout: DropoutRate = 0.5
    position_bias: bool = False
    """ActFusion's, in every layer's attention."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if not all(0 <= layer < self.layers for layer in self.condition_layers):
            yield "condition_layers", f"layers 0 to {self.layers - 1}"

    @property
    def condition_channels(self) -> int:
        """Channels of the condition that the encoder gives."""
        return len(self.condition_layers) * self.width


class DecoderConfig(Settings):
    """The denoising decoder."""

    layers: int = Field(8, ge=1)
    width: int = Field(128, ge=1)
    kernel: Kernel = 5
    dropout: DropoutRate = 0.1
    time_width: int = Field(512, ge=4, multiple_of=2)
    """Of the embedding of the time step."""
    position_bias: bool = False
    """As in the encoder."""
    condition_dropout: DropoutRate = 0.0
    """Of the condition, drawn anew in each layer, before it becomes a part of queries and keys: the rate is ActDiff's
    `dropout` there."""
    condition_input: bool = False
    """The condition also enters with the labels. In ActDiff it says only where attention goes, never what is there:
    that takes thousands of epochs to be of use."""


class ActDiffConfig(Settings):
    """An ActDiff but for the sizes that the data decides: features and classes."""

    link: Link = "sigmoid"
    """softmax: a frame has one label; sigmoid: it may have several."""
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    condition_masks: ConditionMaskConfig = ConditionMaskConfig()
    losses: LossConfig = LossConfig()
    boundary: BoundaryConfig = BoundaryConfig()
