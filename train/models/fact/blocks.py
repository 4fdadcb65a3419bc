"""The blocks of FACT. Each refines two streams of one video, frames [T, H] and tokens [M, H], and says what they are.

The last channels of a stream are the classes': as they leave a block, logits have become probabilities there. A block's
losses and the read-out have the logits.

Shapes: T frames, S segments, X either of them, M tokens, H width, A width of tokens, D width of the frame branch,
C classes, N = C + 1 classes of tokens, of which the last one stands for nothing (null).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.train.data.generators import Generators
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.fact.attention import CrossAttention
from rhas.train.models.fact.branches import FrameBranch, TokenDecoder, TokenUpdate
from rhas.train.models.fact.config import NetworkConfig
from rhas.train.models.fact.cuts import Cuts, cut


@dataclass(frozen=True, eq=False)
class CrossAttentions:
    """What tokens look at (f2a) and what looks at tokens (a2f): logits of the attention."""

    f2a_MX: Tensor
    a2f_XM: Tensor
    cuts: Cuts | None = None  # None: X are frames
    segments_SC: Tensor | None = None  # logits of the segments that were cut

    @property
    def attention_TM(self) -> Tensor:
        """How much each frame looks at each token; those of a segment look alike."""
        attention_XM = self.a2f_XM.softmax(1)
        return attention_XM if self.cuts is None else self.cuts.on_frames(attention_XM)


@dataclass(frozen=True, eq=False)
class BlockOutput:
    """What a block says of a video."""

    frames_TC: Tensor  # logits
    tokens_MN: Tensor  # logits
    attentions: CrossAttentions | None = None  # None: block i


Refined = tuple[Tensor, Tensor, BlockOutput]  # frames [T, H], tokens [M, H]


def with_probabilities(x_XH: Tensor, classes: int, link: Link) -> tuple[Tensor, Tensor]:
    """A stream with probabilities in its last channels [X, H], and the logits that were there [X, classes]."""
    rest, logits = x_XH.split([x_XH.shape[1] - classes, classes], 1)
    return torch.cat([rest, probabilities(logits, link)], 1), logits


class InputBlock(nn.Module):
    """Block i: features to frames, then tokens that look at them."""

    def __init__(self, features: int, classes: int, link: Link, config: NetworkConfig):
        super().__init__()
        self.classes, self.link = classes, link
        self.frames = FrameBranch(features, config.frame_layers[0], config)
        self.tokens = TokenDecoder(config)

    def forward(
        self, features_TF: Tensor, query_MA: Tensor, position_TH: Tensor | None, draws: Generators | None
    ) -> Refined:
        """Tokens start as zeros, told apart by their queries alone."""
        frames_TH, frames_TC = with_probabilities(self.frames(features_TF, draws), self.classes, self.link)
        tokens_MH = self.tokens(torch.zeros_like(query_MA), query_MA, frames_TH, position_TH, draws)
        tokens_MH, tokens_MN = with_probabilities(tokens_MH, self.classes + 1, "softmax")
        return frames_TH, tokens_MH, BlockOutput(frames_TC, tokens_MN)


class Exchanged(NamedTuple):
    """After tokens and frames, or segments, have looked at each other."""

    x_XD: Tensor
    f2a_MX: Tensor
    a2f_XM: Tensor
    tokens_MH: Tensor
    tokens_MN: Tensor  # logits


class UpdateBlock(nn.Module):
    """Block u: tokens look at frames, and at each other; frames at tokens, and at their neighbours."""

    def __init__(self, classes: int, link: Link, config: NetworkConfig):
        super().__init__()
        self.classes, self.link = classes, link
        self.to_tokens = CrossAttention(config.width, config.token_width, config.dropout)
        self.tokens = TokenUpdate(config)
        self.to_frames = CrossAttention(config.width, config.frame_width, config.dropout)
        self.frames = FrameBranch(None, config.frame_layers[1], config)

    def forward(
        self, frames_TH: Tensor, tokens_MH: Tensor, query_MA: Tensor, position_TH: Tensor | None,
        draws: Generators | None,
    ) -> Refined:  # fmt: skip
        got = self.exchanged(frames_TH, tokens_MH, query_MA, position_TH, draws)
        return self.refined(got.x_XD, got, CrossAttentions(got.f2a_MX, got.a2f_XM), draws)

    def exchanged(
        self, x_XH: Tensor, tokens_MH: Tensor, query_MA: Tensor, position_XH: Tensor | None,
        draws: Generators | None,
    ) -> Exchanged:  # fmt: skip
        """Of frames, or segments, and tokens."""
        tokens_MA, f2a_MX = self.to_tokens(x_XH, tokens_MH, position_XH, query_MA, draws)
        tokens_MH, tokens_MN = with_probabilities(
            self.tokens(tokens_MA, query_MA, draws), self.classes + 1, "softmax"
        )
        x_XD, a2f_XM = self.to_frames(tokens_MH, x_XH, query_MA, position_XH, draws)
        return Exchanged(x_XD, f2a_MX, a2f_XM, tokens_MH, tokens_MN)

    def refined(
        self, frames_TD: Tensor, got: Exchanged, attentions: CrossAttentions, draws: Generators | None
    ) -> Refined:
        """What the block hands on and says, once the frames have what they saw."""
        frames_TH, frames_TC = with_probabilities(self.frames(frames_TD, draws), self.classes, self.link)
        return frames_TH, got.tokens_MH, BlockOutput(frames_TC, got.tokens_MN, attentions)


class SegmentBlock(UpdateBlock):
    """Block U: as u, with segments of the frames in their place; what these come to is laid over their frames again."""

    def __init__(self, classes: int, link: Link, config: NetworkConfig):
        super().__init__(classes, link, config)
        self.gru = nn.GRU(config.width, config.width // 2, bidirectional=True)
        self.segments = nn.Linear(config.width, config.width)
        self.merge = nn.Linear(config.frame_width + config.width, config.frame_width)

    def forward(
        self, frames_TH: Tensor, tokens_MH: Tensor, query_MA: Tensor, position_TH: Tensor | None,
        draws: Generators | None,
    ) -> Refined:  # fmt: skip
        cuts = cut(frames_TH[:, -self.classes :])
        in_order_SH, _ = self.gru(cuts.means(frames_TH))
        segments_SH, segments_SC = with_probabilities(
            self.segments(F.relu(in_order_SH)), self.classes, self.link
        )
        position_SH = None if position_TH is None else position_TH[cuts.middles()]
        got = self.exchanged(segments_SH, tokens_MH, query_MA, position_SH, draws)
        frames_TD = F.relu(self.merge(torch.cat([cuts.on_frames(got.x_XD), frames_TH], 1)))
        attentions = CrossAttentions(got.f2a_MX, got.a2f_XM, cuts, segments_SC)
        return self.refined(frames_TD, got, attentions, draws)
