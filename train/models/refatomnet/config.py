"""What a RefAtomNet is configured by. Defaults: the paper's sizes (its Section 5.1), in the form that it describes.

The released code does otherwise in four places of the network: `released` is for its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from rhas.manifests.common.configs import Settings
from rhas.train.models.actdiff.config import DropoutRate
from rhas.train.models.diffusion.labels import Link

Width = Annotated[int, Field(ge=1)]


class NetworkConfig(Settings):
    """The network but for the sizes that the data decides. Switches are the paper's ablation (its Table 3a)."""

    agents: int = Field(4, ge=1)
    """In each stream."""
    scale: float | None = Field(None, gt=0)
    """Of what agents are compared by; null: 1/√width, as in the released code. The paper says .125."""
    agent_attention: bool = True
    """false: no agents, the streams' tokens are simply added up (without ALSAF)."""
    attention_fusion: bool = True
    """What the other streams' agents look at weighs what the picture's do (CAAF)."""
    token_fusion: bool = True
    """The other streams' agents weigh the picture's (CATF)."""
    sentence: bool = True
    """The stream of the sentence."""
    location: bool = True
    """The stream of places (LSAS)."""
    head: tuple[Width, Width] = (512, 256)
    """Widths of the layers before the classes."""
    dropout: DropoutRate = 0.2
    """After the first of them."""
    released: bool = False
    """As the released code: one of the two ways in which maps and agents are weighed is a softmax over a single number,
    streams are added up, not averaged, and places enter the sum before their block, most of which then learns
    nothing."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.released and not (self.agent_attention and self.location):
            yield "released", "false: the released code has agents and places"


class RefAtomNetLossConfig(Settings):
    """The cross entropy of the classes, binary where a frame may have several."""

    over_classes: Literal["mean", "sum"] = "mean"
    """mean, as in the paper (Eq. 13); as a sum it weighs the more the more classes there are."""


class RefAtomNetConfig(Settings):
    """A RefAtomNet on frames: places are the tokens of the person's crop and where its box is."""

    link: Link = "sigmoid"
    """As in the paper; softmax: a frame has one label."""
    tokens: int | None = Field(None, ge=2)
    """Query tokens of a frame; null: as many as the features have, 32 of a BLIP-2."""
    boxes: bool = True
    """The person's box, besides the tokens of its crop."""
    network: NetworkConfig = NetworkConfig()
    losses: RefAtomNetLossConfig = RefAtomNetLossConfig()
    chunk: int = Field(256, ge=1)
    """Frames that go through the network together: nothing but memory depends on it."""

    def data_needs(self) -> dict[str, Any]:
        """What of the data settings the model decides."""
        sentence, box = self.network.sentence, self.network.location and self.boxes
        return {"tokens": "all", "sentence": sentence, "boxes.channels": box}
