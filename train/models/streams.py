"""The feature streams of a batch, and what stands for a frame that has no feature.

Such a frame gets a learned embedding, one for each stream: it is told apart from any real feature, and never filled
in from the other stream.

Shapes: B batch, F feature size, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from rhas.train.data import Batch

StreamName = Literal["holistic", "partial"]
StreamNames = Literal["holistic", "partial", "both"]


def streams_taken(model: nn.Module) -> frozenset[str]:
    """Which streams a model reads; both, of one whose features don't come through a `Stream`."""
    return frozenset(m.name for m in model.modules() if isinstance(m, Stream)) or frozenset(
        get_args(StreamName)
    )


class Stream(nn.Module):
    """One stream of a batch: its features, and the learned embedding of frames that have none."""

    def __init__(self, name: StreamName, feature_size: int):
        super().__init__()
        self.name = name
        self.absent_F = nn.Parameter(torch.zeros(feature_size))

    def forward(self, batch: Batch) -> Tensor:
        """Features [B, F, T]; what they are in the padding is left to the model's mask."""
        if self.name == "holistic":
            features_BFT, has_BT = batch.holistic_BFT, batch.has_holistic_BT
        else:
            features_BFT, has_BT = batch.partial_BFT, batch.has_partial_BT
        return torch.where(has_BT[:, None], features_BFT, self.absent_F[:, None])


class Streams(nn.ModuleList):
    """One stream of a batch, or both, one above the other."""

    def __init__(self, names: StreamNames, feature_size: int):
        each = get_args(StreamName) if names == "both" else (names,)
        super().__init__(Stream(name, feature_size) for name in each)
        self.feature_size = feature_size * len(each)

    def forward(self, batch: Batch) -> Tensor:
        """Features of all streams [B, F, T]."""
        return torch.cat([stream(batch) for stream in self], dim=1)
