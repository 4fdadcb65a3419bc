"""What a FACT is configured by. Defaults: the widths and rates that its authors chose for GTEA.

In the form for several labels a frame, which is ours, a class has several runs, and they overlap: tokens are
matched with the classes that occur (`o2m`), since there are fewer of these than of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rhas.manifests.common.configs import Settings
from rhas.train.models.actdiff.config import DropoutRate
from rhas.train.models.diffusion.labels import Link
from rhas.train.models.losses import LossConfig
from rhas.train.models.streams import StreamNames


def _blocks(blocks: str) -> str:
    if blocks[:1] != "i" or not blocks[1:] or set(blocks[1:]) - set("uU"):
        raise ValueError("i, and then at least one of u and U, such as iuU")
    return blocks


Layers = Annotated[int, Field(ge=1)]


class NetworkConfig(Settings):
    """The network but for the sizes that the data decides."""

    blocks: Annotated[str, AfterValidator(_blocks)] = "iuU"
    """In their order. i: frames by themselves, then tokens that look at them; u: tokens and frames look at each other;
    U: tokens and segments do, into which the frames are cut."""
    tokens: int = Field(60, ge=1)
    """Each is to stand for a run of one class: the authors take 1.5 for each segment of a video."""
    width: int = Field(512, ge=4, multiple_of=2)
    """Of what blocks hand on, of frames as of tokens. Its last channels are the classes', so there have to be more."""
    frame_branch: Literal["m", "m2"] = "m"
    """m: MS-TCN's layers; m2: MS-TCN++'s, which see near and far at once."""
    frame_width: int = Field(128, ge=1)
    frame_layers: tuple[Layers, Layers] = (10, 10)
    """Of the frame branch of block i, and of each other block's; the k-th has dilation 2^k."""
    frame_norm: bool = False
    """A layer norm after each layer of m."""
    frame_positions: bool = False
    """Sinusoids where frames and segments are looked at."""
    token_width: int = Field(128, ge=1)
    token_layers: int = Field(6, ge=1)
    """Of block i; other blocks have one."""
    heads: int = Field(8, ge=1)
    feedforward: int = Field(512, ge=1)
    dropout: DropoutRate = 0.2
    channel_dropout: DropoutRate = 0.5
    """Of the features."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.token_width > self.width:
            yield "token_width", f"at most width, which is {self.width}"
        if self.token_width % self.heads:
            yield "heads", f"a divisor of token_width, which is {self.token_width}"
        if self.frame_norm and self.frame_branch == "m2":
            yield "frame_norm", "false: m2 has no norm"


class TimeMaskConfig(Settings):
    """Spans of frames whose features are zeros in training. Their lengths are drawn from 0 on."""

    spans: int = Field(5, ge=0)
    longest: int = Field(60, ge=1)
    """Frames, one more than the longest span has."""
    share: float = Field(0.1, gt=0, le=1)
    """Of the video, that a span has at most."""


class MatchingConfig(Settings):
    """How tokens are matched with true segments, at the least cost."""

    kind: Literal["o2o", "o2m"] = "o2m"
    """o2o: a token for each segment; o2m: for each class that occurs, and segments share those of their class."""
    classes: float = Field(0.2, ge=0)
    """Of the cost: how little of the token is of the segment's class."""
    overlap: float = Field(1.0, ge=0)
    """Of the cost: how little the frames that look at the token are the segment's."""


class FACTLossConfig(LossConfig):
    """Weights of the losses of each block, whose mean is taken over blocks."""

    cross_entropy: float = Field(1.0, ge=0)
    """Of frames and segments, and of tokens."""
    attention: float = Field(1.0, ge=0)
    """Of each direction."""
    smoothing: float = Field(5.0, ge=0)
    over_classes: Literal["mean", "sum"] = "sum"
    null: float | None = Field(None, gt=0)
    """Weight of tokens that stand for nothing; null: M / ((M − S) · C) for M tokens, of which S are taken on average in
    the training split."""
    background: float = Field(1.0, gt=0)
    """Weight of the classes that the actions mark as background."""


class FACTConfig(Settings):
    """A FACT, the streams that it sees, and how it learns."""

    link: Link = "sigmoid"
    """softmax: a frame has one label, as in the paper; sigmoid: it may have several."""
    stream: StreamNames = "both"
    """both: one above the other."""
    network: NetworkConfig = NetworkConfig()
    time_mask: TimeMaskConfig = TimeMaskConfig()
    matching: MatchingConfig = MatchingConfig()
    losses: FACTLossConfig = FACTLossConfig()
