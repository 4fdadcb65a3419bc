"""Released FUTR checkpoints: which of our parameters is called what in them.

Queries, keys and values are one matrix there, which is cut in three; a table of sines, which nothing uses, is left out.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.models.futr.model import FUTR
from rhas.train.models.released import load_renamed, read_state

_ENCODER = {
    "attention": "self_attn", "attention_norm": "norm1", "norm": "norm2",
    "feed_forward.inner": "linear1", "feed_forward.outer": "linear2",
}  # fmt: skip
_DECODER = {
    "self_attention": "self_attn", "attention": "multihead_attn", "self_norm": "norm1", "attention_norm": "norm2",
    "norm": "norm3", "feed_forward.inner": "linear1", "feed_forward.outer": "linear2",
}  # fmt: skip
_OTHERS = {
    "input": "input_embed", "frames": "fc_seg", "actions": "fc", "durations": "fc_len",
    "decoder_norm": "transformer.decoder.norm", "query_MD": "query_embed.weight", "position_TD": "pos_embedding",
}  # fmt: skip
_CUT = ("query", "key", "value")


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one, whose `in_proj` is cut in three."""
    part, _, rest = ours.partition(".")
    if part not in ("encoder", "decoder"):
        return f"{_OTHERS[part]}.{rest}" if rest else _OTHERS[part]
    layer, _, inside = rest.partition(".")
    names = _ENCODER if part == "encoder" else _DECODER
    own = next(name for name in names if inside.startswith(f"{name}."))
    end = inside.removeprefix(own).replace(".out.", ".out_proj.")
    return f"transformer.{part}.layers.{layer}.{names[own]}{end}"


def load_released(model: FUTR, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    state = read_state(path)
    for name in [name for name in state if ".in_proj_" in name]:
        start, _, kind = name.partition(".in_proj_")
        whole: Tensor = state.pop(name)
        if whole.shape[0] % 3:
            raise InputError(Problem(path, "three matrices in one", column=name, value=tuple(whole.shape)))
        for part, tensor in zip(_CUT, whole.chunk(3), strict=True):
            state[f"{start}.{part}.{kind}"] = tensor
    if "pos_embedding" in state:
        state["pos_embedding"] = state["pos_embedding"].flatten(0, -2)
    return load_renamed(model, state, path, released_name, lambda name: name.startswith("pos_enc."))
