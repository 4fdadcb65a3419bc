"""What an ActDiff is configured by. Defaults: HopaDIFF's paper, Section 5.1; dropouts and k from Supplement B."""

from __future__ import annotations

from dataclasses import dataclass, field

from rhas.manifests.common.checks import Check, at_least, dropout_rates, require
from rhas.train.models.actdiff.masks import ConditionMaskConfig
from rhas.train.models.diffusion.labels import DiffusionConfig


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder of one feature stream."""

    layers: int = 12
    width: int = 256
    kernel: int = 5  # of the convolution, and neighbours of the attention
    condition_layers: tuple[int, ...] = (7, 8, 9)  # whose outputs, from 0, are the decoder's condition
    dropout: float = 0.5
    channel_dropout: float = 0.5
    temporal_dropout: float = 0.5
    position_bias: bool = False  # ActFusion's, in every layer's attention

    def __post_init__(self) -> None:
        inside = all(0 <= i < self.layers for i in self.condition_layers)
        require(
            *at_least(self, 1, "encoder.layers", "encoder.width"),
            _odd("encoder.kernel", self.kernel),
            (
                inside and bool(self.condition_layers), "encoder.condition_layers", self.condition_layers,
                f"one or more of the layers 0 to {self.layers - 1}",
            ),
            *dropout_rates(self, "encoder.dropout", "encoder.channel_dropout", "encoder.temporal_dropout"),
        )  # fmt: skip

    @property
    def condition_channels(self) -> int:
        """Channels of the condition that the encoder gives."""
        return len(self.condition_layers) * self.width


@dataclass(frozen=True)
class DecoderConfig:
    """The denoising decoder."""

    layers: int = 8
    width: int = 128
    kernel: int = 5
    dropout: float = 0.1
    time_width: int = 512  # of the embedding of the time step
    position_bias: bool = False  # as in the encoder
    # The condition also enters with the labels. In ActDiff it says only where attention goes, never what is there:
    # that takes thousands of epochs to be of use.
    condition_input: bool = False

    def __post_init__(self) -> None:
        require(
            *at_least(self, 1, "decoder.layers", "decoder.width"),
            _odd("decoder.kernel", self.kernel),
            *dropout_rates(self, "decoder.dropout"),
            (
                self.time_width >= 4 and self.time_width % 2 == 0, "decoder.time_width", self.time_width,
                "an even number from 4",
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class ActDiffConfig:
    """An ActDiff but for the sizes that the data decides: features and classes."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    condition_masks: ConditionMaskConfig = field(default_factory=ConditionMaskConfig)


def _odd(setting: str, kernel: int) -> Check:
    return kernel >= 1 and kernel % 2 == 1, setting, kernel, "an odd number, so that a frame is in the middle"
