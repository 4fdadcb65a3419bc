"""Released ActFusion checkpoints: ActDiff's names, a mask token, and a table of position biases in every layer.

Of the 20,000 rows of a table only those can be reached that `PositionBias` holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.models.actdiff import released as actdiff_released
from rhas.train.models.actfusion.model import ActFusion
from rhas.train.models.layers.position_bias import PositionBias
from rhas.train.models.released import load_renamed, read_state

_BIAS = ".attention.position_bias.weight"
_MIDDLE = 10_000  # row of distance 0


def released_name(ours: str) -> str:
    """What a parameter of our state dict is called in a released one."""
    if ours == "mask_token_F":
        return "mask_token"
    if ours.endswith(_BIAS):
        conv = actdiff_released.released_name(ours.removesuffix(_BIAS) + ".conv.weight")
        return conv.replace("conv_block.0.weight", "rel_pos_emb.weight")
    return actdiff_released.released_name(ours)


def load_released(model: ActFusion, path: Path) -> list[str]:
    """Loads a released checkpoint (a state dict saved by torch) into `model`, returns the names of what was left out.

    See `rhas.train.models.released`.
    """
    state = read_state(path)
    for ours in model.state_dict():
        name = released_name(ours)
        if name in state and ours.endswith(_BIAS):
            bias = cast(PositionBias, model.get_submodule(ours.rpartition(".")[0]))
            state[name] = _rows(state[name], bias, path, name)
        elif name in state and ours == "mask_token_F":
            state[name] = state[name].flatten()
    return load_renamed(model, state, path, released_name, actdiff_released.is_table)


def _rows(table: Tensor, bias: PositionBias, path: Path, name: str) -> Tensor:
    rows = [_MIDDLE + distance for distance in bias.distances]
    if table.dim() != 2 or table.shape[1] != 1 or table.shape[0] <= rows[-1]:
        expected = f"a table of more than {rows[-1]} rows and one column"
        raise InputError(Problem(path, expected, column=name, value=tuple(table.shape)))
    return table[rows, 0]
