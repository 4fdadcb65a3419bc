"""Released ActDiff checkpoints: state dicts with the names of the authors' code, loaded into an `ActDiff`.

Such a file also holds the tables of the noise schedule, which ours computes; they are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.released import load_renamed, read_state

_STACKS = {"encoder.layers.": "encoder.encoder.layers.", "decoder.layers.": "decoder.module.layers."}
_IN_A_LAYER = {
    "attention.query": "att_linear_q",
    "attention.key": "att_linear_k",
    "attention.value": "att_linear_v",
    "conv": "conv_block.0",
    "ffn.0": "ffn_block.0",
    "ffn.2": "ffn_block.2",
}
_TIME = {
    "decoder.time_mlp.0": "decoder.time_in.0",
    "decoder.time_mlp.2": "decoder.time_in.1",  # ours counts the swish between the two
    "decoder.time_projection": "decoder.module.time_proj",
}
_TABLE = re.compile(r"betas|\w*alphas_cumprod\w*|posterior_\w+")


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one."""
    module, _, kind = ours.rpartition(".")  # kind: weight or bias
    for stack, theirs in _STACKS.items():
        if module.startswith(stack):
            number, _, part = module.removeprefix(stack).partition(".")
            return f"{theirs}{number}.{_IN_A_LAYER[part]}.{kind}"
    return f"{_TIME.get(module, module)}.{kind}"


def is_table(name: str) -> bool:
    """Whether an entry of a released state dict is one of the noise schedule's tables."""
    return _TABLE.fullmatch(name) is not None


def load_released(model: ActDiff, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    return load_renamed(model, read_state(path), path, released_name, is_table)
