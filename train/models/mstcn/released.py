"""Checkpoints of MS-TCN++'s released code: which of our parameters is called what in them."""

from __future__ import annotations

from pathlib import Path

from rhas.train.models.mstcn.model import MSTCN
from rhas.train.models.released import load_renamed, read_state

_IN_PREDICTION = {"falling": "conv_dilated_1", "growing": "conv_dilated_2", "fusion": "conv_fusion"}
_IN_REFINEMENT = {"conv": "conv_dilated", "out": "conv_1x1"}


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one."""
    stage, _, rest = ours.partition(".")
    if stage == "prediction":
        if rest.startswith("layers."):
            _, number, part, kind = rest.split(".")
            return f"PG.{_IN_PREDICTION[part]}.{number}.{kind}"
        return f"PG.{rest.replace('conv_in', 'conv_1x1_in')}"
    number, _, rest = rest.partition(".")
    if rest.startswith("layers."):
        _, layer, part, kind = rest.split(".")
        return f"Rs.{number}.layers.{layer}.{_IN_REFINEMENT[part]}.{kind}"
    return f"Rs.{number}.{rest.replace('conv_in', 'conv_1x1')}"


def load_released(model: MSTCN, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    return load_renamed(model, read_state(path), path, released_name)
