"""The network of FACT, one video at a time: features to what each block says of frames and tokens.

Always in float32, whatever `precision` is: frames are cut where an argmax changes, and rounded to bfloat16, classes
that are near each other would take turns there.

Shapes: T frames, F feature size, M tokens, A width of tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.data.generators import Generators
from rhas.train.models.diffusion.labels import Link
from rhas.train.models.fact.attention import sinusoids
from rhas.train.models.fact.blocks import BlockOutput, InputBlock, SegmentBlock, UpdateBlock
from rhas.train.models.fact.config import NetworkConfig, TimeMaskConfig
from rhas.train.models.layers.masking import drop_channels
from rhas.train.models.layers.precision import in_float32


class FACT(nn.Module):
    """Features [T, F] to what the blocks say."""

    def __init__(
        self, feature_size: int, classes: int, config: NetworkConfig, link: Link, time_mask: TimeMaskConfig
    ):
        """Raises InputError for a width that has no place for all classes."""
        super().__init__()
        if config.width <= classes + 1:
            expected = (
                f"more than {classes + 1}: the last channels are the {classes} classes' and that of none"
            )
            column = "settings.network.width"
            raise InputError(Problem("training config", expected, column=column, value=config.width))
        self.config, self.time_mask = config, time_mask
        self.query_MA = nn.Parameter(torch.randn(config.tokens, config.token_width))
        self.first = InputBlock(feature_size, classes, link, config)
        kinds = {"u": UpdateBlock, "U": SegmentBlock}
        self.later = nn.ModuleList(kinds[kind](classes, link, config) for kind in config.blocks[1:])

    @in_float32
    def forward(self, features_TF: Tensor, draws: Generators | None = None) -> list[BlockOutput]:
        """One for each block. `draws`: those of this one video; None is torch's global generator."""
        if self.training:
            features_TF = masked_in_time(features_TF, self.time_mask, draws)
            features_TF = drop_channels(features_TF.T[None], self.config.channel_dropout, draws)[0].T
        position_TH = None
        if self.config.frame_positions:
            position_TH = sinusoids(len(features_TF), self.config.width, features_TF.device)
        frames_TH, tokens_MH, output = self.first(features_TF, self.query_MA, position_TH, draws)
        outputs = [output]
        for block in self.later:
            frames_TH, tokens_MH, output = block(frames_TH, tokens_MH, self.query_MA, position_TH, draws)
            outputs.append(output)
        return outputs


def masked_in_time(features_TF: Tensor, config: TimeMaskConfig, draws: Generators | None) -> Tensor:
    """With zeros in a few spans, of which some are empty."""
    if config.spans == 0:
        return features_TF
    frames, device = len(features_TF), features_TF.device
    drawn = (
        torch.rand(1, 2 * config.spans, 1, device=device)
        if draws is None
        else draws.uniform_rows(2 * config.spans)
    )
    first_N1, length_N1 = drawn[0].chunk(2)
    length_N1 = (length_N1 * config.longest).long().clamp(max=int(config.share * frames))
    first_N1 = (first_N1 * (frames - length_N1 + 1)).long()
    at_T = torch.arange(frames, device=device)
    hidden_T = ((at_T >= first_N1) & (at_T < first_N1 + length_N1)).any(0)
    return features_TF * ~hidden_T[:, None]
