"""Released ASFormer checkpoints: which of our parameters is called what in them.

Queries and keys of their first layers, where a frame sees itself alone, are left out: a softmax over one number is 1.
"""

from __future__ import annotations

import re
from pathlib import Path

from rhas.train.models.asformer.model import ASFormer
from rhas.train.models.released import load_renamed, read_state

_PARTS = {
    "conv_in": "conv_1x1", "conv": "feed_forward.layer.0", "attention": "att_layer", "query": "query_conv",
    "key": "key_conv", "value": "value_conv",
}  # fmt: skip
_UNUSED = re.compile(r".*\.layers\.0\.att_layer\.(query|key)_conv\.(weight|bias)")


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one."""
    parts = ours.split(".")
    # A layer ends with a 1×1 convolution, and so does its attention.
    out = "conv_out" if "attention" in parts else "conv_1x1"
    return ".".join(out if part == "out" else _PARTS.get(part, part) for part in parts)


def load_released(model: ASFormer, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    return load_renamed(
        model, read_state(path), path, released_name, lambda name: _UNUSED.fullmatch(name) is not None
    )
