"""Released RefAtomNet checkpoints: which of our parameters is called what in them.

A segmenter has no part for what a detector finds in a frame, nor for the box, so these are left out there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from rhas.train.models.released import load_renamed, read_state

_STREAMS = {"sentence": "agent_semantic", "location": "agent_box", "visual": "agent_temporal"}
# In their order; what one has made is what the next one sees.
_RENAMED: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^refatomnet\.blocks\.(\w+)\.", lambda found: f"{_STREAMS[found[1]]}."),
    (r"\.norm_in\.", ".norm1."),
    (r"\.norm_out\.", ".norm2."),
    (r"\.projections\.", ".attn.qkv."),
    (r"\.choose\.", ".attn.pool."),
    (r"(?<!^refatomnet)\.out\.", ".attn.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.2\.", ".mlp.fc2."),
    (r"^refatomnet\.to_tokens\.", "proj_sem."),
    (r"^refatomnet\.project\.", "proj."),
    (r"^refatomnet\.gather\.", "proj_box."),
    (r"^class_head\.first\.", "classification_head.0."),
    (r"^class_head\.second\.", "classification_head.3."),
    (r"^class_head\.last\.", "classification_head.5."),
    (r"^box_head\.", "bbox_regressio_head."),
]
# Of embeddings for frames without features, which no released model has.
_OURS = ("absent_ND", "class_weight_C")
_FROZEN = re.compile(r"(model|detection_model)\..*")  # BLIP-2 and DETR
_OTHER_PARTS = re.compile(r"(proj_box|bbox_regressio_head)\..*")


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one; what only ours has keeps its name."""
    for pattern, theirs in _RENAMED:
        ours = re.sub(pattern, theirs, ours)
    return ours


def load_released(model: nn.Module, path: Path) -> list[str]:
    """Loads a released checkpoint into a segmenter or the model of clips; see `rhas.train.models.released`."""
    state = read_state(path)
    own: dict[str, Tensor] = model.state_dict()
    state |= {name: own[name] for name in _OURS if name in own}
    known = {released_name(name) for name in own}

    def left_out(name: str) -> bool:
        return bool(_FROZEN.fullmatch(name) or (_OTHER_PARTS.fullmatch(name) and name not in known))

    return load_renamed(model, state, path, released_name, left_out)
