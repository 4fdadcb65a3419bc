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

_STACKS = {"encoder.encoder.layers.": "encoder.layers.", "decoder.module.layers.": "decoder.layers."}
_IN_A_LAYER = {
    "att_linear_q": "attention.query",
    "att_linear_k": "attention.key",
    "att_linear_v": "attention.value",
    "conv_block.0": "conv",
    "ffn_block.0": "ffn.0",
    "ffn_block.2": "ffn.2",
}
_TIME = {
    "decoder.time_in.0.": "decoder.time_mlp.0.",
    "decoder.time_in.1.": "decoder.time_mlp.2.",  # ours counts the swish between the two
    "decoder.module.time_proj.": "decoder.time_projection.",
}
_TABLE = re.compile(r"betas|\w*alphas_cumprod\w*|posterior_\w+")


def our_name(released: str) -> str | None:
    """A released parameter's name in our state dict; None for a table that ours doesn't keep."""
    if _TABLE.fullmatch(released):
        return None
    for theirs, ours in _TIME.items():
        released = released.replace(theirs, ours)
    for theirs, ours in _STACKS.items():
        if released.startswith(theirs):
            number, _, rest = released.removeprefix(theirs).partition(".")
            part, _, kind = rest.rpartition(".")
            return f"{ours}{number}.{_IN_A_LAYER.get(part, part)}.{kind}"
    return released


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
    renamed = {name: our_name(name) for name in state}
    expected = model.state_dict()
    problems = [
        Problem(path, "no such parameter in a model of this config", column=theirs)
        for theirs, ours in renamed.items()
        if ours is not None and ours not in expected
    ]
    missing = sorted(expected.keys() - renamed.values())
    problems += [Problem(path, "a parameter for it", column=ours) for ours in missing]
    fitting = {ours: state[theirs] for theirs, ours in renamed.items() if ours in expected}
    theirs_of = {ours: theirs for theirs, ours in renamed.items()}
    for ours, given in fitting.items():
        if given.shape != expected[ours].shape:
            wanted = f"shape {tuple(expected[ours].shape)}"
            problems.append(Problem(path, wanted, column=theirs_of[ours], value=tuple(given.shape)))
    if problems:
        raise InputError(problems)
    model.load_state_dict(fitting)
