"""Released FACT checkpoints: which of our parameters is called what in them.

There, queries, keys and values of a multi-head attention are one tensor if they are of one size. Positions of frames,
which ours computes, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from rhas.train.models.fact.model import FACT
from rhas.train.models.released import load_renamed, read_state

# In their order; what one has made is what the next one sees.
_RENAMED: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^query_MA$", "action_query"),
    (r"^first\.", "block_list.0."),
    (r"^later\.(\d+)\.", lambda found: f"block_list.{int(found[1]) + 1}."),
    # Cross attentions.
    (r"\.to_tokens\.", ".f2a_layer."),
    (r"\.to_frames\.", ".a2f_layer."),
    (r"(?<=[fa]_layer\.)key\.", "X_K."),
    (r"(?<=[fa]_layer\.)value\.", "X_V."),
    (r"(?<=[fa]_layer\.)query\.", "Y_Q."),
    (r"(?<=[fa]_layer\.)out\.", "Y_W."),
    # Tokens. A layer of block i has three norms, one of the other blocks two.
    (r"^(block_list\.0)\.tokens\.(.*)\.feedforward\.norm", r"\1.tokens.\2.norm3"),
    (r"^(block_list\.0)\.tokens\.(.*)\.self_attention", r"\1.tokens.\2.self_attn"),
    (r"\.tokens\.layer\.", ".tokens.layers.0."),
    (r"\.tokens\.out\.", ".tokens.out_linear."),
    (r"\.tokens\.", ".action_branch."),
    (r"\.(self|cross)_attention\.", ".multihead_attn."),
    (r"_attn\.(q|k|v)(?:uery|ey|alue)\.(weight|bias)", r"_attn.\1_proj_\2"),
    (r"_attn\.out\.", "_attn.out_proj."),
    (r"\.self_norm\.", ".norm1."),
    (r"\.cross_norm\.|\.feedforward\.norm\.", ".norm2."),
    (r"\.feedforward\.inner\.", ".linear1."),
    (r"\.feedforward\.outer\.", ".linear2."),
    # Frames.
    (r"\.frames\.layers\.(\d+)\.falling\.", r".frames.conv_dilated_1.\1."),
    (r"\.frames\.layers\.(\d+)\.rising\.", r".frames.conv_dilated_2.\1."),
    (r"\.frames\.layers\.(\d+)\.fusion\.", r".frames.conv_fusion.\1."),
    (r"\.frames\.layers\.(\d+)\.conv\.", r".frames.layers.\1.conv_dilated."),
    (r"\.frames\.layers\.(\d+)\.out\.", r".frames.layers.\1.conv_1x1."),
    (r"\.frames\.", ".frame_branch."),
    # Segments.
    (r"\.gru\.", ".seg_update."),
    (r"\.segments\.", ".seg_combine."),
    (r"\.merge\.", ".sf_merge.0."),
]


def released_name(ours: str, frame_branch: str) -> str:
    """What a parameter of our state dict is called in a released one, once `apart` has been there."""
    for pattern, theirs in _RENAMED:
        ours = re.sub(pattern, theirs, ours)
    return ours.replace("conv_in.", "conv_1x1." if frame_branch == "m" else "conv_1x1_in.")


def apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With queries, keys and values in tensors of their own."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, joined, kind = name.partition("in_proj_")
        if joined:
            parts = zip("qkv", tensor.chunk(3), strict=True)
            found |= {f"{stem}{part}_proj_{kind}": own for part, own in parts}
        else:
            found[name] = tensor[:, 0] if name == "action_query" and tensor.dim() == 3 else tensor
    return found


def load_released(model: FACT, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`; see `rhas.train.models.released`."""
    kind = model.config.frame_branch
    return load_renamed(
        model,
        apart(read_state(path)),
        path,
        lambda ours: released_name(ours, kind),
        lambda name: name.endswith(".pe"),
    )
