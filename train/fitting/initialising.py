"""Warm starts: the best weights of another run as the beginning of a new one, whose actions may be others.

In: a model with fresh weights, and a run, an exported folder or a checkpoint. Out: the model with the weights that
it shares with the other, and a record of what was taken. Where a parameter has a place for each class, the places of
actions that both know are taken by name. Which places those are is found by building the model for one class more. What
belongs to the data at hand, the weights of classes in the loss, is never taken.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.config import TrainConfig
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.building import build_for
from rhas.train.runs.checkpoint import below, digest_of, read_tensors
from rhas.train.runs.run import RunFolder, read_json

OPTION = "--init-from"
_OWN = ("class_weight_C", "null_weight")  # of losses, for the training split: SupervisedSegmenter's, FACT's


@dataclass(frozen=True, eq=False)
class Source:
    """Weights to begin with, and what they are for."""

    given: str  # the run or checkpoint, as asked for
    file: Path
    digest: str  # of the file
    model: str
    actions: tuple[str, ...]
    step: int
    state: dict[str, Tensor]


def warm_start(
    folder: RunFolder, init_from: Path | None, model: Segmenter, config: TrainConfig, data: dict[str, Any],
    begun: bool,
) -> dict[str, Any] | None:  # fmt: skip
    """Gives the model the weights that its run begins with; returns the record of it, None for fresh weights.

    `begun`: there is a checkpoint to go on from, so nothing is loaded. Raises InputError for weights that don't
    fit, or that aren't those that the run began with.
    """
    if not folder.data.exists():
        return None if init_from is None else initialise(model, config, data, read_source(init_from))
    before = read_json(folder.data).get("init")
    if init_from is not None and not _same(before, init_from):
        expected = "nothing, since the run began with fresh weights" if before is None else before["given"]
        expected += " (another run needs another folder)"
        raise InputError(Problem(OPTION, expected, value=str(init_from)))
    if before is not None and not begun:
        source = read_source(init_from or Path(before["given"]))
        if source.digest != before["sha256"]:
            raise InputError(Problem(source.file, "the weights that the run began with; they were changed"))
        initialise(model, config, data, source)
    return before


def _same(before: dict[str, Any] | None, init_from: Path) -> bool:
    """Whether a run began with these weights, wherever they lie now."""
    if before is None:
        return False
    return before["given"] == str(init_from.absolute()) or before["sha256"] == read_source(init_from).digest


def read_source(path: Path) -> Source:
    """The best weights of a run's folder, or those of a checkpoint. Raises InputError for anything else."""
    file = RunFolder(path).weights if path.is_dir() else path
    if not file.is_file():
        raise InputError(Problem(OPTION, "a run with a checkpoint, or a checkpoint", value=str(path)))
    tensors, record = read_tensors(file)
    made_for = record.get("for")
    if not isinstance(made_for, dict) or not {"model", "actions"} <= made_for.keys():
        raise InputError(Problem(file, "a checkpoint of a run"))
    step = record["step"] if "step" in record else record["validation"]["step"]
    digest = digest_of(file)
    return Source(
        given=str(path.absolute()), file=file, digest=digest, model=made_for["model"],
        actions=tuple(made_for["actions"]), step=step, state=below("model/", tensors) or tensors,
    )  # fmt: skip


def initialise(model: Segmenter, config: TrainConfig, data: dict[str, Any], source: Source) -> dict[str, Any]:
    """Loads what fits; returns what was taken and what wasn't, by the names of tensors and actions.

    Raises one InputError, naming parameters and shapes, if the models differ in more than their actions.
    """
    if source.model != config.model:
        expected = f"weights of model {config.model}"
        raise InputError(Problem(source.file, expected, column="model", value=source.model))
    actions = tuple(data["actions"])
    state = {name: tensor for name, tensor in model.state_dict().items() if name.split(".")[-1] not in _OWN}
    per_class = _per_class(state, config, data)
    _check_sizes(state, per_class, source, len(source.actions) - len(actions))
    if source.actions != actions and not any(any(places) for places in per_class.values()):
        expected = f"the same actions in the same order: in model {config.model} no weight tells whose it is"
        raise InputError(Problem(source.file, expected, column="actions"))
    shared = [action for action in actions if action in set(source.actions)]
    here, there = ([names.index(action) for action in shared] for names in (actions, source.actions))
    copied, by_action, fresh = [], [], []
    for name, own in state.items():
        dims = [dim for dim, places in enumerate(per_class[name]) if places]
        if source.actions == actions or not dims:
            own.copy_(source.state[name])
            copied.append(name)
        elif shared and all((own.shape[dim], per_class[name][dim]) == (len(actions), 1) for dim in dims):
            theirs = source.state[name].to(own)
            own[_places(own, dims, here)] = theirs[_places(theirs, dims, there)]
            by_action.append(name)
        else:  # not a place for each class, but something between: nobody knows which is whose
            fresh.append(name)
    return {
        "given": source.given, "sha256": source.digest, "step": source.step,
        "copied": copied, "by_action": by_action, "fresh": fresh, "known_actions": shared,
        "new_actions": [action for action in actions if action not in shared],
        "actions_left_behind": [action for action in source.actions if action not in shared],
    }  # fmt: skip


def told(record: dict[str, Any]) -> str:
    """A line that says what a run began with."""
    known, new = len(record["known_actions"]), record["new_actions"]
    parts = [f"{len(record['copied'])} tensors copied"]
    if record["by_action"]:
        parts.append(f"{len(record['by_action'])} by action, for {known} of {known + len(new)} actions")
    if new:
        parts.append(f"new actions: {', '.join(new)}")
    if record["fresh"]:
        parts.append(f"not taken: {', '.join(record['fresh'])}")
    return f"begins with {record['given']} (step {record['step']}): {'; '.join(parts)}"


def _per_class(
    state: dict[str, Tensor], config: TrainConfig, data: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    """For each dimension of each tensor, by how much it is larger for one class more."""
    larger = build_for(config, {**data, "actions": [*data["actions"], ""]}).state_dict()
    return {
        name: tuple(n - own for n, own in zip(larger[name].shape, tensor.shape, strict=True))
        for name, tensor in state.items()
    }


def _check_sizes(
    state: dict[str, Tensor], per_class: dict[str, tuple[int, ...]], source: Source, more: int
) -> None:
    """`more`: classes that the source has beyond the model's."""
    problems = []
    for name, own in state.items():
        expected = tuple(n + more * places for n, places in zip(own.shape, per_class[name], strict=True))
        found = source.state.get(name)
        if found is None:
            problems.append(Problem(source.file, f"shape {expected}", column=name, value="no such parameter"))
        elif tuple(found.shape) != expected:
            problems.append(Problem(source.file, f"shape {expected}", column=name, value=tuple(found.shape)))
    for name in source.state:
        if name not in state and name.split(".")[-1] not in _OWN:
            problems.append(Problem(source.file, "parameters of the model", column=name, value="unknown"))
    if problems:
        raise InputError(problems)


def _places(tensor: Tensor, dims: Collection[int], classes: list[int]) -> tuple[Tensor, ...]:
    """Indices of the places of `classes` along `dims`, and of all along the others."""
    along = [torch.tensor(classes) if d in dims else torch.arange(n) for d, n in enumerate(tensor.shape)]
    return torch.meshgrid(*[index.to(tensor.device) for index in along], indexing="ij")
