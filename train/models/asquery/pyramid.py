"""ASQuery's neck: a feature pyramid (Lin et al., 2017, arXiv:1612.03144) over the backbone's time scales.

In: features of every scale. Out: those of the finest ones, with what the coarser ones know, and the features that
queries are compared with, frame by frame.

Shapes: B batch, D width, T frames of a scale.
"""

from __future__ import annotations

from torch import Tensor, nn

from rhas.train.models.asquery.backbone import Scales
from rhas.train.models.asquery.config import ASQueryNetworkConfig
from rhas.train.models.layers.channel_norm import ChannelNorm
from rhas.train.models.layers.masking import masked
from rhas.train.models.layers.pointwise import Pointwise


class Pyramid(nn.Module):
    """Coarser scales are added to finer ones, from the coarsest down."""

    def __init__(self, config: ASQueryNetworkConfig):
        super().__init__()
        width, self.leaks = config.width, config.released_padding is not None
        self.lateral = nn.ModuleList(
            Pointwise(width, width, bias=False) for _ in range(1 + len(config.branch_dilations))
        )
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False) for _ in range(config.scales)
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(config.scales))
        self.compared = Pointwise(width, width, bias=False)

    def forward(self, scales: Scales) -> tuple[Scales, Tensor]:
        """The finest scales as they are read, and what queries are compared with [B, D, T], zero in the padding."""
        mixed = [masked(conv(x), mask) for conv, (x, mask) in zip(self.lateral, scales, strict=True)]
        for i in range(len(mixed) - 2, -1, -1):
            finer_BDT = mixed[i] + mixed[i + 1].repeat_interleave(2, dim=2)[:, :, : mixed[i].shape[2]]
            mixed[i] = finer_BDT if self.leaks else masked(finer_BDT, scales[i][1])
        read = [
            (norm(masked(conv(x), mask)), mask)
            for conv, norm, x, (_, mask) in zip(self.convs, self.norms, mixed, scales, strict=False)
        ]
        finest_BDT, mask_BT = read[0]
        return read, masked(self.compared(finest_BDT), mask_BT)
