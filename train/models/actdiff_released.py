"""Released ActDiff checkpoints: state dicts with the names of the authors' code, loaded into an `ActDiff`.

Such a file also holds the tables of the noise schedule, which ours computes; they are left out. Sizes are not
guessed from the file: the model is built from its config first, and what doesn't fit it is an error.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from manifests.errors import InputError, Problem
from train.models.actdiff import ActDiff

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


def load_released(model: ActDiff, path: Path) -> None:
    """Loads a released checkpoint (a state dict saved by torch) into `model`.

    Raises `InputError` if the file can't be read as tensors alone, or if parameters are missing, unknown or of
    another shape than the model's config asks for.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(Problem(path, f"a checkpoint that torch.load can read: {error}")) from error
    if not isinstance(state, Mapping) or not all(isinstance(x, Tensor) for x in state.values()):
        raise InputError(Problem(path, "a state dict, names to tensors", value=type(state).__name__))
    load_released_state(model, state, path)


def load_released_state(model: ActDiff, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads parameters under their released names; `path` is named in the `InputError` if they don't fit."""
    expected = {released_name(ours): (ours, x.shape) for ours, x in model.state_dict().items()}
    unknown = [name for name in state if name not in expected and not _TABLE.fullmatch(name)]
    problems = [Problem(path, "a parameter that the config's model has", column=name) for name in unknown]
    for name, (_, shape) in expected.items():
        if name not in state:
            problems.append(Problem(path, f"shape {tuple(shape)}", column=name, value="no such parameter"))
        elif state[name].shape != shape:
            found = tuple(state[name].shape)
            problems.append(Problem(path, f"shape {tuple(shape)}", column=name, value=found))
    if problems:
        raise InputError(problems)
    model.load_state_dict({ours: state[name] for name, (ours, _) in expected.items()})
