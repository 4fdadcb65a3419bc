"""Released GroundingDINO checkpoints (`.pth`): reading them, and their names in transformers' port.

`NAMES` is the whole difference between the two state dicts: with it a checkpoint of either kind serves both
implementations. Nothing is transposed or reordered; but where the released code keeps query, key and value
in one tensor, the port has three.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError, Problem

# Parts that have many rows, as released and in the port.
_RELEASED_BLOCK = "backbone.0.layers.*.blocks.*"
_SWIN = "model.backbone.conv_encoder.model"
_BLOCK = f"{_SWIN}.encoder.layers.*.blocks.*"
_FUSION, _PORT_FUSION = "transformer.encoder.fusion_layers.*", "model.encoder.layers.*.fusion_layer"
_TEXT, _PORT_TEXT = "transformer.encoder.text_layers.*", "model.encoder.layers.*.text_enhancer_layer"
_IMAGE, _PORT_IMAGE = "transformer.encoder.layers.*", "model.encoder.layers.*.deformable_layer"
_DECODER, _PORT_DECODER = "transformer.decoder.layers.*", "model.decoder.layers.*"
_QKV = "{query,key,value}"

# Beginning of a released name -> beginning of the port's name; the rest is the same. "*" is a number.
# The first row that fits is taken.
NAMES: tuple[tuple[str, str], ...] = (
    # image backbone
    ("backbone.0.patch_embed.proj.", f"{_SWIN}.embeddings.patch_embeddings.projection."),
    ("backbone.0.patch_embed.norm.", f"{_SWIN}.embeddings.norm."),
    (f"{_RELEASED_BLOCK}.norm1.", f"{_BLOCK}.layernorm_before."),
    (f"{_RELEASED_BLOCK}.attn.qkv.", f"{_BLOCK}.attention.self.{_QKV}."),
    (f"{_RELEASED_BLOCK}.attn.proj.", f"{_BLOCK}.attention.output.dense."),
    (f"{_RELEASED_BLOCK}.attn.relative_position_", f"{_BLOCK}.attention.self.relative_position_"),
    (f"{_RELEASED_BLOCK}.norm2.", f"{_BLOCK}.layernorm_after."),
    (f"{_RELEASED_BLOCK}.mlp.fc1.", f"{_BLOCK}.intermediate.dense."),
    (f"{_RELEASED_BLOCK}.mlp.fc2.", f"{_BLOCK}.output.dense."),
    ("backbone.0.layers.*.downsample.", f"{_SWIN}.encoder.layers.*.downsample."),
    ("backbone.0.norm1.", f"{_SWIN}.hidden_states_norms.stage2."),
    ("backbone.0.norm2.", f"{_SWIN}.hidden_states_norms.stage3."),
    ("backbone.0.norm3.", f"{_SWIN}.hidden_states_norms.stage4."),
    ("input_proj.", "model.input_proj_vision."),
    # text backbone
    ("bert.", "model.text_backbone."),
    ("feat_map.", "model.text_projection."),
    # encoder: fusion of image and text, then each by itself
    ("transformer.level_embed", "model.level_embed"),
    (f"{_FUSION}.gamma_v", f"{_PORT_FUSION}.vision_param"),
    (f"{_FUSION}.gamma_l", f"{_PORT_FUSION}.text_param"),
    (f"{_FUSION}.layer_norm_v.", f"{_PORT_FUSION}.layer_norm_vision."),
    (f"{_FUSION}.layer_norm_l.", f"{_PORT_FUSION}.layer_norm_text."),
    (f"{_FUSION}.attn.v_", f"{_PORT_FUSION}.attn.vision_"),
    (f"{_FUSION}.attn.l_", f"{_PORT_FUSION}.attn.text_"),
    (f"{_FUSION}.attn.values_v_", f"{_PORT_FUSION}.attn.values_vision_"),
    (f"{_FUSION}.attn.values_l_", f"{_PORT_FUSION}.attn.values_text_"),
    (f"{_FUSION}.attn.out_v_", f"{_PORT_FUSION}.attn.out_vision_"),
    (f"{_FUSION}.attn.out_l_", f"{_PORT_FUSION}.attn.out_text_"),
    (f"{_TEXT}.self_attn.in_proj_",
     f"{_PORT_TEXT}.self_attn.{_QKV}."),
    (f"{_TEXT}.self_attn.", f"{_PORT_TEXT}.self_attn."),
    (f"{_TEXT}.norm1.", f"{_PORT_TEXT}.layer_norm_before."),
    (f"{_TEXT}.linear1.", f"{_PORT_TEXT}.fc1."),
    (f"{_TEXT}.linear2.", f"{_PORT_TEXT}.fc2."),
    (f"{_TEXT}.norm2.", f"{_PORT_TEXT}.layer_norm_after."),
    (f"{_IMAGE}.self_attn.", f"{_PORT_IMAGE}.self_attn."),
    (f"{_IMAGE}.norm1.", f"{_PORT_IMAGE}.self_attn_layer_norm."),
    (f"{_IMAGE}.linear1.", f"{_PORT_IMAGE}.fc1."),
    (f"{_IMAGE}.linear2.", f"{_PORT_IMAGE}.fc2."),
    (f"{_IMAGE}.norm2.", f"{_PORT_IMAGE}.final_layer_norm."),
    # proposals
    ("transformer.enc_output.", "model.enc_output."),
    ("transformer.enc_output_norm.", "model.enc_output_norm."),
    ("transformer.enc_out_bbox_embed.", "model.encoder_output_bbox_embed."),
    ("transformer.tgt_embed.", "model.query_position_embeddings."),
    # decoder
    (f"{_DECODER}.self_attn.in_proj_", f"{_PORT_DECODER}.self_attn.{_QKV}."),
    (f"{_DECODER}.self_attn.", f"{_PORT_DECODER}.self_attn."),
    (f"{_DECODER}.norm2.", f"{_PORT_DECODER}.self_attn_layer_norm."),
    (f"{_DECODER}.ca_text.in_proj_", f"{_PORT_DECODER}.encoder_attn_text.{_QKV}."),
    (f"{_DECODER}.ca_text.", f"{_PORT_DECODER}.encoder_attn_text."),
    (f"{_DECODER}.catext_norm.", f"{_PORT_DECODER}.encoder_attn_text_layer_norm."),
    (f"{_DECODER}.cross_attn.", f"{_PORT_DECODER}.encoder_attn."),
    (f"{_DECODER}.norm1.", f"{_PORT_DECODER}.encoder_attn_layer_norm."),
    (f"{_DECODER}.linear1.", f"{_PORT_DECODER}.fc1."),
    (f"{_DECODER}.linear2.", f"{_PORT_DECODER}.fc2."),
    (f"{_DECODER}.norm3.", f"{_PORT_DECODER}.final_layer_norm."),
    ("transformer.decoder.norm.", "model.decoder.layer_norm."),
    ("transformer.decoder.ref_point_head.", "model.decoder.reference_points_head."),
    ("transformer.decoder.bbox_embed.", "model.decoder.bbox_embed."),
    ("bbox_embed.", "bbox_embed."),
)  # fmt: skip

# In released files, but not in the model: label embeddings of training, a buffer of older transformers, and
# BERT's pooler, which nothing reads.
_UNUSED = ("label_enc.", "bert.embeddings.position_ids", "bert.pooler.")

# What torch.load ends with on something else: bytes that only look like a pickle fail anywhere in it.
_UNREADABLE = (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
               struct.error, pickle.UnpicklingError)  # fmt: skip


def read_released(path: Path) -> dict[str, Tensor]:
    """The state dict of a released checkpoint, without "module." prefixes and what no model uses."""
    expected = 'a GroundingDINO checkpoint: a dict whose "model" is a state dict'
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(Problem(path, f"{expected} ({_first_line(error)})")) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        keys = sorted(map(str, content))[:5] if isinstance(content, dict) else type(content).__name__
        raise InputError(Problem(path, expected, value=keys))
    named = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in named.items() if not name.startswith(_UNUSED)}


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Loads a state dict that must fit exactly; the `InputError` names the first names that don't."""
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = [
        *(f"{name}, which is missing" for name in own if name not in given),
        *(f"no {name}" for name in given if name not in own),
        *(
            f"{name} of shape {own[name]}, not {given[name]}"
            for name in own
            if given.get(name, own[name]) != own[name]
        ),
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise InputError(Problem(source, f"weights with {'; '.join(problems[:3])}{more}"))
    model.load_state_dict(state)


@cache
def port_names(name: str) -> tuple[str, ...]:
    """A released name to the port's: one, or three that share its first dimension; itself if unknown."""
    for pattern, target in NAMES:
        match = re.match(re.escape(pattern).replace(r"\*", r"(\d+)"), name)
        if match:
            for number in match.groups():
                target = target.replace("*", number, 1)
            target += name[match.end() :]
            return (
                tuple(target.replace(_QKV, part) for part in ("query", "key", "value"))
                if _QKV in target
                else (target,)
            )
    return (name,)


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released state dict to the port's. Unknown names stay, for `load_strictly` to report."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        targets = port_names(name)
        renamed.update(
            zip(targets, tensor.chunk(len(targets)) if len(targets) > 1 else (tensor,), strict=True)
        )
    return renamed


def to_released(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """The port's state dict to a released one that has `names`. What the port lacks stays out."""
    sources = {name: port_names(name) for name in names}
    return {
        name: torch.cat([state[part] for part in parts]) if len(parts) > 1 else state[parts[0]]
        for name, parts in sources.items()
        if all(part in state for part in parts)
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
