"""FUTR's network (Gong et al., CVPR 2022, arXiv:2205.14022, Section 3): an encoder of the frames that were seen, a
decoder of queries, one for each action to come, and what is read of both.

Shapes: B batch, F feature size, D width, C classes, T frames, M queries, N = C + 1 classes with none, the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from rhas.manifests.common.configs import Settings
from rhas.manifests.common.errors import InputError, Problem
from rhas.train.data.generators import Generators
from rhas.train.models.futr.layers import DecoderLayer, EncoderLayer, dropping, learned


class FUTRNetworkConfig(Settings):
    """Sizes: the authors' for Breakfast."""

    width: int = Field(128, ge=1)
    heads: int = Field(8, ge=1)
    encoder_layers: int = Field(2, ge=1)
    decoder_layers: int = Field(1, ge=1)
    queries: int = Field(8, ge=1)
    """Actions to come that can be told."""
    dropout: float = Field(0.1, ge=0, lt=1)
    positions: int = Field(2000, ge=1)
    """Frames that there are learned positions for: the most that a video may have."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.width % self.heads:
            yield "width", f"a multiple of heads, which is {self.heads}"


class FUTROutput(NamedTuple):
    """What is read."""

    frames_BCT: Tensor  # logits of the frames that were seen
    actions_BMN: Tensor  # logits of each query
    durations_BM: Tensor  # logits of their shares of what is told


class FUTR(nn.Module):
    """Features [B, F, T] to a `FUTROutput`."""

    def __init__(self, feature_size: int, classes: int, config: FUTRNetworkConfig):
        super().__init__()
        width, heads = config.width, config.heads
        self.config = config
        self.input = nn.Linear(feature_size, width)
        self.position_TD = learned(config.positions, width)
        self.query_MD = nn.Parameter(torch.randn(config.queries, width))
        self.encoder = nn.ModuleList(EncoderLayer(width, heads) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.frames, self.actions = nn.Linear(width, classes), nn.Linear(width, classes + 1)
        self.durations = nn.Linear(width, 1)
        for part in (self.input, self.frames, self.actions, self.durations):
            nn.init.xavier_uniform_(part.weight)

    def forward(
        self, features_BFT: Tensor, mask_BT: Tensor | None, generators: Generators | None = None
    ) -> FUTROutput:
        """`mask_BT`: the frames that are seen; None: all. `generators` have the dropout.

        Raises InputError for more frames than there are positions.
        """
        frames = features_BFT.shape[2]
        if frames > self.config.positions:
            expected = f"at least {frames}, the frames of a sample"
            column = "settings.network.positions"
            raise InputError(Problem("training config", expected, column=column, value=self.config.positions))
        position_TD = self.position_TD[:frames]
        of_frames, of_queries = (dropping(self.config.dropout, generators, kind) for kind in (True, False))
        x_BTD = self.input(features_BFT.transpose(1, 2)).relu()
        for encoder in self.encoder:
            x_BTD = encoder(x_BTD, position_TD, mask_BT, of_frames)
        placed_BTD = x_BTD + position_TD
        y_BMD = x_BTD.new_zeros(len(x_BTD), *self.query_MD.shape)
        for decoder in self.decoder:
            y_BMD = decoder(y_BMD, self.query_MD, placed_BTD, mask_BT, of_queries)
        y_BMD = self.decoder_norm(y_BMD)
        frames_BCT = self.frames(x_BTD).transpose(1, 2)
        return FUTROutput(frames_BCT, self.actions(y_BMD), self.durations(y_BMD)[:, :, 0])
