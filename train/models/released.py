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


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict saved by torch, or that of a checkpoint of LTContext's code, which has it under `model_state`.

    Raises `InputError` if the file can't be read as tensors alone.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(Problem(path, f"a checkpoint that torch.load can read: {error}")) from error
    if isinstance(state, Mapping) and isinstance(state.get("model_state"), Mapping):
        state = state["model_state"]
    if not isinstance(state, Mapping) or not all(isinstance(x, Tensor) for x in state.values()):
        raise InputError(Problem(path, "a state dict, names to tensors", value=type(state).__name__))
    return dict(state)


def load_renamed(
    model: nn.Module,
    state: Mapping[str, Tensor],
    path: Path,
    released_name: Callable[[str], str],
    left_out: Callable[[str], object] = lambda name: False,
) -> None:
    """Loads parameters under their released names, which `released_name` makes from ours.

    Entries that `left_out` is true of are no parameters. Raises `InputError`, naming `path`, for parameters that are
    missing, unknown or of another shape than the model's config asks for.
    """
    expected = {released_name(ours): (ours, x.shape) for ours, x in model.state_dict().items()}
    unknown = [name for name in state if name not in expected and not left_out(name)]
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
