"""Checkpoints: one safetensors file each, written so that it is there whole or not at all.

checkpoints/
  step-00000120.safetensors   a run to go on from: `model/…`, `optimiser/…`, and the rest as JSON in the header
  best.safetensors            the weights that did best on the validation split, with τ

In: tensors, and a record of plain data. Out: the same. No pickle is written or read. What belongs into a record
is the loop's business; what a checkpoint is for is compared here, before any weight is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rhas.manifests.common.atomic import remove_leftovers, write_bytes_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.train.config import differences, setting

BEST = "best.safetensors"
_RECORD = "rhas"  # a single key: safetensors keeps no order among several


@dataclass(frozen=True)
class ModelSpec:
    """What a model was made by: its weights fit no other."""

    model: str
    settings: dict[str, Any]
    feature_size: int
    actions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in a checkpoint's record."""
        return {**vars(self), "actions": list(self.actions)}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Writes a file atomically and durably: after a power cut there is the old file or the new one."""
    # Clones, since safetensors refuses tensors that share memory.
    own = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    write_bytes_atomically(path, save(own, {_RECORD: json.dumps(record)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, record). Raises InputError, naming the file, if it isn't one of ours."""
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        message = f"a file of tensors written by rhas ({type(error).__name__}: {error})"
        raise InputError(Problem(path, message)) from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file of weights."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, spec: ModelSpec, keep: int = 2):
        self.folder, self.spec, self.keep = folder, spec, keep

    def prepare(self) -> None:
        """Makes the folder, and clears what a killed run was just writing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)

    def save(
        self, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, record: Mapping[str, Any],
        average: nn.Module | None = None,
    ) -> None:  # fmt: skip
        """Writes where training stands, and then removes the oldest checkpoints beyond `keep`."""
        tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        for name, parameter in model.named_parameters():
            for key, tensor in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser/{name}/{key}"] = tensor
        if average is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in average.state_dict().items()}
        path = self.folder / f"step-{step:08d}.safetensors"
        write_tensors(path, tensors, {"for": self.spec.to_dict(), "step": step, **record})
        for old in self._steps()[: -self.keep]:
            old.unlink(missing_ok=True)

    def resume(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None = None
    ) -> dict[str, Any] | None:
        """Loads the last checkpoint, and returns its record; None if there is none."""
        steps = self._steps()
        if not steps:
            return None
        tensors, record = _read(steps[-1], self.spec)
        _load(model, below("model/", tensors), steps[-1])
        if average is not None:
            _load(average, below("average/", tensors), steps[-1])
        for name, parameter in model.named_parameters():
            if state := below(f"optimiser/{name}/", tensors):
                # Adam counts steps on the CPU, unless it is told otherwise.
                optimiser.state[parameter] = {
                    key: tensor if key == "step" else tensor.to(parameter.device)
                    for key, tensor in state.items()
                }
        return record

    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(self._steps())

    def save_best(self, model: nn.Module, record: Mapping[str, Any]) -> None:
        """Writes the weights alone, in place of those that were best so far."""
        write_tensors(self.folder / BEST, model.state_dict(), {"for": self.spec.to_dict(), **record})

    def load_best(self, model: nn.Module) -> dict[str, Any]:
        """Loads the best weights, and returns their record. Raises InputError if there are none yet."""
        return load_weights(self.folder / BEST, self.spec, model)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors"))


def load_weights(path: Path, spec: ModelSpec, model: nn.Module) -> dict[str, Any]:
    """Loads a file of weights alone, and returns its record. Raises InputError for what doesn't fit."""
    if not path.is_file():
        raise InputError(Problem(path, "a checkpoint: a run has one after its first validation"))
    tensors, record = _read(path, spec)
    _load(model, tensors, path)
    return record


def _read(path: Path, spec: ModelSpec) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, record = read_tensors(path)
    found, wanted = record.get("for"), spec.to_dict()
    if not isinstance(found, dict):
        raise InputError(Problem(path, "a checkpoint of a run"))
    if names := list(differences(found, wanted)):
        raise InputError(
            [
                Problem(
                    path,
                    f"{setting(wanted, name)}, as this run has it",
                    column=name,
                    value=setting(found, name),
                )
                for name in names
            ]
        )
    return tensors, record


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _load(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError if the parameters aren't the model's, as after a change of its code."""
    expected = model.state_dict()
    problems = [
        Problem(path, "parameters of the model", column=name, value="unknown")
        for name in state
        if name not in expected
    ]
    for name, tensor in expected.items():
        shape = tuple(state[name].shape) if name in state else "no such parameter"
        if shape != tuple(tensor.shape):
            problems.append(Problem(path, f"shape {tuple(tensor.shape)}", column=name, value=shape))
    if problems:
        raise InputError(problems)
    model.load_state_dict(dict(state))
