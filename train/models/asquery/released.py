"""Released ASQuery checkpoints: which of our parameters is called what in them, and what of them is never used.

A third of their weights has no part in what the released code computes: heads for other losses, layers that others were
copied from, the pyramid's coarser scales. They are left out. There is no prior in them, so where the model has one it
becomes 0. The boundary query is the last of their queries.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from rhas.train.models.asquery.model import ASQuery
from rhas.train.models.released import load_renamed, read_state

_UNUSED = re.compile(
    r"(cls_head|reg_head|frame_head)\..*"
    r"|action_head\.(level_embd\.weight|decoder_layer\..*)"
    r"|action_head\.decoder_layers\.0\.(self_attn|cross_attn|ffn)\..*"
)
_COARSE = re.compile(r"neck\.fpn_(?:convs|norms)\.(\d+)\..*")
_QUERIES = {"query": "action_head.query.weight", "position": "action_head.query_pe.weight"}
_PRIOR = "decoder.prior_C"

_BACKBONE = {
    "convs": "embd", "norms": "embd_norm", "attention": "attn", "norm_in": "ln1", "norm_out": "ln2", "out": "proj",
    "bias_HW": "rel_pe",
}  # fmt: skip
_PROJECTION = {"conv": "{}_conv.conv", "norm": "{}_norm", "linear": "{}"}
_PYRAMID = {
    "lateral": "lateral_convs",
    "convs": "fpn_convs",
    "norms": "fpn_norms",
    "compared": "mask_feat_conv",
}
_BLOCK = {
    "own_norm": "self_attn_layers.{}.norm", "own.projections": "self_attn_layers.{}.self_attn.in_proj_",
    "own.out": "self_attn_layers.{}.self_attn.out_proj", "read_norm": "cross_attn_layers.{}.norm",
    "read.projections": "cross_attn_layers.{}.multihead_attn.in_proj_",
    "read.out": "cross_attn_layers.{}.multihead_attn.out_proj", "ffn_norm": "ffn_layers.{}.norm",
    "ffn.0": "ffn_layers.{}.linear1", "ffn.2": "ffn_layers.{}.linear2",
}  # fmt: skip
_HEADS = {"class_head": "mask_embd", "boundary_head": "boundary_embd"}


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one; queries and prior keep their names."""
    part, _, rest = ours.partition(".")
    if part == "backbone":
        return f"backbone.{_in_backbone(rest)}"
    if part == "pyramid":
        kind, _, rest = rest.partition(".")
        # Their convolutions are wrapped.
        return f"neck.{_PYRAMID[kind]}.{rest if kind == 'norms' else re.sub('weight', 'conv.weight', rest)}"
    if rest.startswith("blocks."):
        _, number, module = rest.split(".", 2)
        module, _, kind = module.rpartition(".")
        name = f"action_head.decoder_layers.0.{_BLOCK[module].format(number)}"
        return f"{name}{kind}" if name.endswith("_") else f"{name}.{kind}"
    head, _, layer = rest.partition(".")
    return f"action_head.{_HEADS[head]}.{layer}" if head in _HEADS else ours


def _in_backbone(ours: str) -> str:
    parts = ours.split(".")
    if parts[0] == "convs":
        return f"embd.{parts[1]}.conv.{parts[2]}"
    if len(parts) == 6:  # stem.0.attention.query.conv.weight
        theirs = _PROJECTION[parts[4]].format(parts[3])
        return f"{parts[0]}.{parts[1]}.attn.{theirs}.{parts[5]}"
    if "mlp" in parts:  # theirs counts a dropout
        return ours.replace("mlp.2", "mlp.3")
    return ".".join(_BACKBONE.get(part, part) for part in parts)


def load_released(model: ASQuery, path: Path) -> list[str]:
    """Loads a released checkpoint into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    state = read_state(path)
    for kind, theirs in _QUERIES.items():
        if theirs in state:
            queries_QD = state.pop(theirs)
            state[f"decoder.class_{kind}_CD"] = queries_QD[:-1]
            state[f"decoder.boundary_{kind}_1D"] = queries_QD[-1:]
    own = model.state_dict()
    if _PRIOR in own:
        state[_PRIOR] = torch.zeros_like(own[_PRIOR])
    for ours, tensor in own.items():
        name = released_name(ours)
        if name in state:
            state[name] = _shaped(state[name], tensor)

    def unused(name: str) -> bool:
        coarse = _COARSE.fullmatch(name)
        return bool(_UNUSED.fullmatch(name)) or bool(coarse and int(coarse[1]) >= model.config.scales)

    return load_renamed(model, state, path, released_name, unused)


def _shaped(theirs: Tensor, ours: Tensor) -> Tensor:
    """Without dimensions of 1 that ours hasn't: their norms are [1, D, 1], and one of their heads has convolutions."""
    without = [[size for size in tensor.shape if size != 1] for tensor in (theirs, ours)]
    return theirs.reshape(ours.shape) if without[0] == without[1] else theirs
