"""Agent attention in one stream: a few agents look at its tokens, and the tokens look at what these saw.

    z = norm(x);  q, k, v = W z;  A = MLP(q) averaged over tokens, an MLP for each agent
    M = softmax_tokens(s A kᵀ);  N = softmax_agents(s q Aᵀ);  x ← x + W_o (N M v);  x ← x + MLP(norm(x))

(Peng et al., arXiv:2407.01872, Eq. 4 to 6; after Han et al., "Agent Attention", arXiv:2312.08874.) Where other streams
guide this one, M and A are weighed first: M before it is used, A only before N (Eq. 8 to 11).

Shapes: B pictures, N tokens, D width, A agents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Guides(NamedTuple):
    """What the other streams' agents are, summed over these streams; None: no such weighing."""

    maps_BAN: Tensor | None
    agents_BAD: Tensor | None
    released: bool = False


class Looked(NamedTuple):
    """What a block says: its tokens, and its agents with what they look at, as others are guided by."""

    tokens_BND: Tensor
    maps_BAN: Tensor
    agents_BAD: Tensor
    attended_BND: Tensor

    def repeated(self, times: int) -> Looked:
        """The same of each of so many pictures, one after the other; of tokens only their mean, as one."""
        mean_B1D = self.tokens_BND.mean(1, keepdim=True)
        each = (mean_B1D, self.maps_BAN, self.agents_BAD, self.attended_BND[:, :0])
        return Looked(*(x.repeat_interleave(times, 0) for x in each))


class AgentBlock(nn.Module):
    """One head, pre-norm."""

    def __init__(self, width: int, agents: int, scale: float | None = None):
        super().__init__()
        self.agents, self.scale = agents, width**-0.5 if scale is None else scale
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width, bias=False)
        half = max(1, width // 2)
        self.choose = nn.Sequential(nn.Linear(width, half), nn.GELU(), nn.Linear(half, agents * width))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BND: Tensor, guides: Guides | None = None) -> Looked:
        """`guides`: for the stream that others guide."""
        q_BND, k_BND, v_BND = self.projections(self.norm_in(x_BND)).chunk(3, dim=-1)
        agents_BAD = self._agents(q_BND)
        maps_BAN = (self.scale * agents_BAD @ k_BND.transpose(1, 2)).softmax(-1)
        if guides is not None and guides.maps_BAN is not None:
            maps_BAN = weighed(maps_BAN, guides.maps_BAN, guides.released)
        seen_BAD = maps_BAN @ v_BND
        if guides is not None and guides.agents_BAD is not None:
            agents_BAD = weighed(agents_BAD, guides.agents_BAD, guides.released)
        back_BNA = (self.scale * q_BND @ agents_BAD.transpose(1, 2)).softmax(-1)
        attended_BND = self.out(back_BNA @ seen_BAD)
        x_BND = x_BND + attended_BND
        return Looked(x_BND + self.mlp(self.norm_out(x_BND)), maps_BAN, agents_BAD, attended_BND)

    def _agents(self, q_BND: Tensor) -> Tensor:
        """[B, A, D]. The mean over tokens is taken before the last layer, which is linear: N times less work."""
        inner, between, outer = self.choose
        return outer(between(inner(q_BND)).mean(1)).unflatten(-1, (self.agents, -1))


def weighed(own: Tensor, others: Tensor, released: bool) -> Tensor:
    """own · (1 + softmax of the others along the last dimension + along agents) / 3, both [B, A, X].

    `released`: the second is a softmax over heads, of which there is one, so it is 1.
    """
    along = others.softmax(-1)
    across = torch.ones_like(along) if released else others.softmax(-2)
    return own * (1 + along + across) / 3
