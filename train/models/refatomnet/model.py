"""The three streams of RefAtomNet, what joins them, and the head of the classes.

The sentence's and the places' blocks run first; their maps and agents guide the picture's. A sentence becomes as many
tokens as a picture has, by a number times its vector and a bias each; what is known of places is projected to the
streams' width, and zero where there is nothing.

Shapes: B pictures, N tokens, D width, A agents, K places, X what is known of each, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rhas.train.models.refatomnet.agents import AgentBlock, Guides, Looked
from rhas.train.models.refatomnet.config import NetworkConfig


class Joined(NamedTuple):
    """What is known of each picture [B, D], and what the blocks of the streams that there are said."""

    fused_BD: Tensor
    streams: dict[str, Looked]


class RefAtomNet(nn.Module):
    """Tokens of the three streams to one vector."""

    def __init__(self, width: int, tokens: int, known: int, config: NetworkConfig, places: int | None = None):
        """`known`: X; `places`: K, where it isn't one for each token."""
        super().__init__()
        self.config = config
        kinds = [("sentence", config.sentence), ("location", config.location), ("visual", True)]
        self.blocks = nn.ModuleDict()
        if config.agent_attention:
            blocks = {name: AgentBlock(width, config.agents, config.scale) for name, there in kinds if there}
            self.blocks.update(blocks)
        if config.sentence:
            self.to_tokens = nn.Linear(1, tokens)
        if config.location:
            self.project = nn.Linear(known, width)
            self.gather = nn.Identity() if places is None else nn.Linear(places, tokens)

    def sentence(self, vector_BD: Tensor) -> Tensor:
        """Its tokens [B, N, D]."""
        tokens_BND: Tensor = self.to_tokens(vector_BD[..., None]).transpose(1, 2)
        return tokens_BND

    def places(self, known_BKX: Tensor, there_BK: Tensor) -> Tensor:
        """What is known of places, at the streams' width [B, K, D]; zero where there is none."""
        return self.project(known_BKX) * there_BK[..., None]

    def look(self, stream: str, tokens_BND: Tensor) -> Looked:
        """A stream by itself; without agents, its tokens as they are."""
        if stream in self.blocks:
            looked: Looked = self.blocks[stream](tokens_BND)
            return looked
        nothing = tokens_BND[:, :0]
        return Looked(tokens_BND, nothing, nothing, nothing)

    def forward(
        self, visual_BND: Tensor, sentence: Looked | None = None, places_BKD: Tensor | None = None
    ) -> Joined:
        """`sentence`: what `look` says of its tokens; `places_BKD`: what `places` gives."""
        streams: dict[str, Looked] = {}
        if sentence is not None:
            streams["sentence"] = sentence
        if places_BKD is not None:
            own_BND = self.gather(places_BKD.transpose(1, 2)).transpose(1, 2)
            streams["location"] = self.look("location", own_BND)
        if "visual" in self.blocks:
            streams["visual"] = self.blocks["visual"](visual_BND, self._guides([*streams.values()]))
        else:
            streams["visual"] = self.look("visual", visual_BND)
        means = {name: looked.tokens_BND.mean(1) for name, looked in streams.items()}
        if self.config.released and places_BKD is not None:
            means["location"] = places_BKD.mean(1)
        total_BD = torch.stack([*means.values()]).sum(0)
        summed = self.config.released or not self.config.agent_attention
        return Joined(total_BD if summed else total_BD / len(means), streams)

    def _guides(self, others: list[Looked]) -> Guides | None:
        if not others:
            return None
        config = self.config
        maps = torch.stack([o.maps_BAN for o in others]).sum(0) if config.attention_fusion else None
        agents = torch.stack([o.agents_BAD for o in others]).sum(0) if config.token_fusion else None
        return Guides(maps, agents, config.released)
