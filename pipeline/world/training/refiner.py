"""Trains the net that makes boxes exact, on boxes that are as far off as those of the small detector's tracks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from rhas.extract.refine.net import SIZE, BoxNet
from rhas.extract.refine.refiner import WEIGHTS, cut_out, places_of
from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.pipeline.world.training.detector_losses import iou
from rhas.pipeline.world.training.fit import Task, fit
from rhas.pipeline.world.training.scenes import Scene, draw_scenes

SCENES, TIMES = 16, 2  # of a step, and boxes of each person
_FIRST = 1 << 20  # step from which scenes are drawn: none of the detector's or the encoder's
# Standard deviations as shares of a person's width and height, of each edge by itself, and at times of the whole box,
# which between two looks of the detector is where nobody has seen the person.
_EDGES, _WHOLE, _MOVED = np.array([0.11, 0.04]), np.array([0.15, 0.02]), 0.3
_WORSE, _SHARES = (1, 2, 3), (0.75, 0.2, 0.05)  # so many times these, in such shares of boxes
_LEAST = 0.02  # of the frame


class RefinerTask(Task):
    """Scenes, boxes that are off, and losses of each step."""

    learning_rate = 2e-3
    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self.seed, self.device = seed, device or torch.device("cpu")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.module: BoxNet = BoxNet()

    def losses(self, step: int) -> dict[str, Tensor]:
        return self.losses_of(*draw_scenes(self.seed, _FIRST + step, SCENES))

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, from whose boxes `rng` draws others."""
        who = [
            (number, person)
            for number, scene in enumerate(scenes)
            for person in np.flatnonzero(scene.visible)
            for _ in range(TIMES)
        ]
        true = [scenes[number].boxes[person] for number, person in who]
        given_N4 = torch.tensor(np.array([off(rng, box) for box in true]), dtype=torch.float32)
        true_N4 = torch.tensor(np.array(true), dtype=torch.float32).to(self.device)
        frames_BHW3 = torch.from_numpy(np.stack([scene.image for scene in scenes])).to(self.device)
        cutouts = cut_out(frames_BHW3, given_N4, [number for number, _ in who])
        logits_N22S = self.module(cutouts.pixels)
        exact_N4 = cutouts.of_frame(places_of(logits_N22S))
        return {
            "places": 0.5 * places_loss(logits_N22S, cutouts.of_box(true_N4)),
            "overlap": 2 * (1 - iou(exact_N4, true_N4)).mean(),
            "before": iou(given_N4.to(self.device), true_N4).mean().detach(),
            "now": iou(exact_N4, true_N4).mean().detach(),
        }


def places_loss(logits_N22S: Tensor, places_N22: Tensor) -> Tensor:
    """Cross entropy with a place that is shared among the two pixels beside it (distribution focal loss, Li et al.
    2020, eq. 6)."""
    at_N22 = (places_N22 * SIZE - 0.5).clamp(0, SIZE - 1)
    low_N22 = at_N22.floor().long().clamp(max=SIZE - 2)
    log_N22S = logits_N22S.log_softmax(-1)
    low, high = (log_N22S.gather(3, (low_N22 + k)[..., None])[..., 0] for k in (0, 1))
    return -torch.lerp(low, high, at_N22 - low_N22).mean()


def off(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    """A box [4] of somebody as it may be found."""
    size = box[2:] - box[:2]
    moved = box + np.tile(size, 2) * rng.normal(0, np.tile(_EDGES, 2) * rng.choice(_WORSE, p=_SHARES))
    if rng.random() < _MOVED:
        moved = moved + np.tile(size * rng.normal(0, _WHOLE), 2)
    moved = np.clip(moved, 0, 1)
    return moved if (moved[2:] - moved[:2] > _LEAST).all() else box


def train_refiner(
    out: Path, work: Path, seed: int, steps: int, device: torch.device, say: Callable[[str], None]
) -> None:
    """Trains for so many steps, going on from what `work` holds, and writes the net to `out`."""
    task = RefinerTask(seed, device)
    fit(task, work / "refiner.safetensors", steps, device, lambda line: say(f"refiner: {line}"))
    out.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.detach().cpu().half() for name, tensor in task.module.state_dict().items()}
    write_bytes_atomically(out / WEIGHTS, save(halves))
