"""Released LTContext checkpoints: which of our parameters is called what in them."""

from __future__ import annotations

from pathlib import Path

from rhas.train.models.ltcontext.model import LTContext
from rhas.train.models.released import load_renamed, read_state

_STAGES = {"first.": "stage1.", "later.": "stages."}
_PARTS = {
    "conv_in": "input_proj",
    "conv_out": "out_proj",
    "reduce": "dim_reduction",
    "conv": "dilated_conv.dilated_conv",
    "windowed": "windowed_attn.attn",
    "long_term": "ltc_attn.attn",
    "query": "proj_q",
    "key": "proj_k",
    "value": "proj_v",
}


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one."""
    for stage, theirs in _STAGES.items():
        ours = ours.replace(stage, theirs, 1) if ours.startswith(stage) else ours
    parts = ours.split(".")
    # A layer ends with a 1×1 convolution, and so does each attention.
    out = "proj.1" if {"windowed", "long_term"} & set(parts) else "out_linear"
    return ".".join(out if part == "out" else _PARTS.get(part, part) for part in parts)


def load_released(model: LTContext, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    return load_renamed(model, read_state(path), path, released_name)
