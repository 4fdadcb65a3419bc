"""What a system for clips is configured by. Defaults: RefAtomNet's recipe (its paper's Section 5.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rhas.manifests.common.configs import Settings
from rhas.train.models.refatomnet.clips import ClipNetConfig

Kind = Literal["refatomnet", "tokens", "crop", "location"]


class ClipTrainConfig(Settings, title="config of clips"):
    """A system and its training."""

    system: Kind = "refatomnet"
    """Or a baseline, each a head on one vector: the picture's tokens averaged; the crop of who the sentence was found
    to mean, averaged, and the box; that box alone."""
    model: ClipNetConfig = ClipNetConfig()
    """Of the network, baselines have the heads and the dropout; losses are the same."""
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls along a cosine."""
    batch: int = Field(128, ge=1)
    epochs: int = Field(40, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
