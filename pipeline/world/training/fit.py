"""The loop that fits a model to the made world: seeded by steps, and taken up again where it was left."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.common.interruption import check

_SAY_EVERY_S, _SAVE_EVERY_S = 20.0, 120.0


class Task(ABC):
    """What is fitted. A step's data and draws must follow from its number alone."""

    module: nn.Module
    learning_rate = 1e-3
    clip_norm = 10.0
    betas = (0.9, 0.98)
    weight_decay = 1e-4

    @abstractmethod
    def losses(self, step: int) -> dict[str, Tensor]:
        """The weighted terms of a step's loss; numbers without gradient are shown and not added."""

    def scale(self, name: str) -> float:
        """By what a parameter's learning rate is multiplied."""
        return 1.0


def learning_rate(step: int, steps: int, warm_up: int = 100, flat: float = 0.3) -> float:
    """Share of the full rate: a short rise, flat for a while, then a cosine down to nothing."""
    rise = min(1.0, (step + 1) / warm_up)
    start = flat * steps
    fall = 1.0 if step < start else 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, steps - start)))
    return rise * fall


def fit(task: Task, checkpoint: Path, steps: int, device: torch.device, say: Callable[[str], None]) -> None:
    """Steps from where `checkpoint` is, or from the beginning, to the end."""
    task.module.to(device).train()
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in task.module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(task.scale(name), []).append(parameter)
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "scale": scale} for scale, parameters in groups.items()],
        betas=task.betas, weight_decay=task.weight_decay,
    )  # fmt: skip
    first = _load(checkpoint, task.module, optimiser, device) if checkpoint.exists() else 0
    said = saved = began = time.monotonic()
    mean: dict[str, float] = {}
    for step in range(first, steps):
        check()
        rate = task.learning_rate * learning_rate(step, steps)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        losses = task.losses(step)
        optimiser.zero_grad(set_to_none=True)
        torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum().backward()
        nn.utils.clip_grad_norm_(task.module.parameters(), task.clip_norm)
        optimiser.step()
        for name, loss in losses.items():
            mean[name] = 0.98 * mean.get(name, loss.item()) + 0.02 * loss.item()
        now = time.monotonic()
        if now - said > _SAY_EVERY_S or step + 1 == steps:
            said, each = now, (now - began) / (step + 1 - first)
            terms = " ".join(f"{name} {value:.3f}" for name, value in mean.items())
            say(
                f"step {step + 1}/{steps}  {terms}  {each:.2f} s a step, {(steps - step - 1) * each / 60:.0f} min left"
            )
        if now - saved > _SAVE_EVERY_S or step + 1 == steps:
            saved = now
            _save(checkpoint, step + 1, task.module, optimiser)


def _save(path: Path, step: int, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    tensors = {f"model/{name}": tensor for name, tensor in module.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{name}": tensor for name, tensor in state.items()}
    tensors["step"] = torch.tensor(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, save({name: t.detach().cpu().clone() for name, t in tensors.items()}))


def _load(path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> int:
    tensors = load_file(path, str(device))
    step = int(tensors.pop("step"))
    module.load_state_dict(
        {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser/"):
            _, number, entry = name.split("/")
            state.setdefault(int(number), {})[entry] = tensor.cpu() if entry == "step" else tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return step
