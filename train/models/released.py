"""Checkpoints that authors released: state dicts under their own names, loaded into our models.

Sizes are not guessed from the file: the model is built from its config first, and what doesn't fit it is an error.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError, Problem

# Where checkpoints that hold more have their state dict: ASQuery's, of which the average is evaluated, and LTContext's.
_STATES = ("state_dict_ema", "state_dict", "model_state")
_WRAPPED = "module."  # what torch's DataParallel puts before every name


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict saved by torch, by itself or in a checkpoint, of a model as it is or in a `DataParallel`.

    Raises `InputError` if the file can't be read as tensors alone.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(Problem(path, f"a checkpoint that torch.load can read: {error}")) from error
    if isinstance(state, Mapping):
        state = next((state[key] for key in _STATES if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not all(isinstance(x, Tensor) for x in state.values()):
        raise InputError(Problem(path, "a state dict, names to tensors", value=type(state).__name__))
    if state and all(name.startswith(_WRAPPED) for name in state):
        state = {name.removeprefix(_WRAPPED): tensor for name, tensor in state.items()}
    return dict(state)


def load_renamed(
    model: nn.Module,
    state: Mapping[str, Tensor],
    path: Path,
    released_name: Callable[[str], str],
    left_out: Callable[[str], object] = lambda name: False,
) -> list[str]:
    """Loads parameters under their released names, which `released_name` makes from ours; returns what was left out.

    Entries that `left_out` is true of aren't of the model: tables, or weights that the released code never uses. Raises
    `InputError`, naming `path`, for parameters that are missing, unknown or of another shape than the model's config
    asks for.
    """
    expected = {released_name(ours): (ours, x.shape) for ours, x in model.state_dict().items()}
    others = [name for name in state if name not in expected]
    unknown = [name for name in others if not left_out(name)]
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
    return others
