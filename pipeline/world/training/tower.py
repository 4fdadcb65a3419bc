"""First stage of the small BLIP-2: its vision tower, on its own, as BLIP-2's is there before its Q-Former.

In training only, heads find the joints of cut-out persons among the patches, which teaches shapes in few steps, and
read looks, posture and hands from the tower's output over a person's place, cut out or in the whole frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extract.crop import person_crops, pixel_box, whole_frames
from pipeline.world.figure import JOINTS
from pipeline.world.film import HEIGHT, WIDTH
from pipeline.world.lives import HANDS, POSTURES
from pipeline.world.training.captions import deed
from pipeline.world.training.detector_losses import pool
from pipeline.world.training.detector_model import LOOKS
from pipeline.world.training.encoder_model import IMAGE, MEAN, PATCH, see
from pipeline.world.training.fit import Task
from pipeline.world.training.scenes import Scene, draw_scenes

SCENES = 16  # of a step
MARGIN = 0.1  # around boxes, as extraction cuts them out
_CLEAR = 0.6  # share of a person that must be seen for their looks to be told
_KINDS = {
    "posture": len(POSTURES),
    "hands": len(HANDS) + 1,
    **{name: len(values) for name, values in LOOKS.items()},
}


class TowerTask(Task):
    """Scenes, cut-out persons and losses of each step; `tower` is trained in place."""

    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(self, seed: int, tower: Any, device: torch.device | None = None) -> None:
        self.seed, self.device, self.tower = seed, device or torch.device("cpu"), tower
        width = tower.config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in _KINDS.items()})
            self.joints = nn.Linear(width, len(JOINTS))
        self.module = nn.ModuleDict({"tower": tower, "kinds": self.heads, "joints": self.joints})

    def losses(self, step: int) -> dict[str, Tensor]:
        scenes, rng = draw_scenes(self.seed, step, SCENES)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, whose persons `rng` cuts out."""
        persons = [
            (number, int(who)) for number, scene in enumerate(scenes) for who in np.flatnonzero(scene.visible)
        ]
        cuts = [jittered(rng, scenes[number].boxes[who]) for number, who in persons]
        joints = np.array([
            patches(scenes[number].joints[who], cut) for (number, who), cut in zip(persons, cuts, strict=True)
        ])  # fmt: skip
        images = images_of(scenes, cuts, [number for number, _ in persons]).to(self.device)
        seen_NPV = see(self.tower, images)
        crops_CPV = seen_NPV[len(scenes) :]
        logits_CJP = self.joints(crops_CPV[:, 1:]).transpose(1, 2)
        places = torch.tensor(joints, device=self.device).flatten()
        losses = {"joints": F.cross_entropy(logits_CJP.flatten(0, 1), places, ignore_index=-1)}
        boxes = torch.tensor(
            np.array([scenes[number].boxes[who] for number, who in persons]), dtype=torch.float32
        )
        frame_C = torch.tensor([number for number, _ in persons], device=self.device)
        regions = {"": crops_CPV[:, 1:].mean(1), "whole ": over(seen_NPV[frame_C], boxes.to(self.device))}
        truth = [kinds_of(scenes[number], who) for number, who in persons]
        for where, region_CV in regions.items():
            total = region_CV.new_zeros(())
            for name, head in self.heads.items():
                values = torch.tensor([known[name] for known in truth], device=self.device)
                loss = F.cross_entropy(head(region_CV), values, ignore_index=-1)
                if name in ("posture", "hands"):
                    losses[where + name] = loss
                else:
                    total = total + 0.1 * loss
            losses[where + "looks"] = total
        return losses


def images_of(scenes: list[Scene], boxes: list[np.ndarray], frames: list[int]) -> Tensor:
    """Images [N, 3, S, S] in [0, 1]: the whole frames, then what boxes cut out of frames, as extraction makes them."""
    pixels = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    crops = person_crops(
        pixels, torch.tensor(np.array(boxes), dtype=torch.float32), frames, IMAGE, MARGIN, MEAN
    )
    return torch.cat([whole_frames(pixels, IMAGE, "squash", MEAN), crops])


def jittered(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    """A box as a detector would find it: mostly nearly right, at times badly off."""
    size = np.tile(box[2:] - box[:2], 2)
    moved = np.clip(box + size * rng.normal(0, 0.15 if rng.random() < 0.1 else 0.05, 4), 0, 1)
    return moved if (moved[2:] - moved[:2] > 0.02).all() else box


def patches(joints_J2: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The patch [J] of a cut-out that each joint falls into, row by row; -1 for none."""
    left, top, right, bottom = pixel_box(box.tolist(), HEIGHT, WIDTH, MARGIN)
    longer, side = max(right - left, bottom - top), IMAGE // PATCH
    middle = np.array([left + right, top + bottom]) / 2
    cells = np.floor(((joints_J2 * (WIDTH, HEIGHT) - middle) / longer + 0.5) * side).astype(int)
    return np.where(((cells >= 0) & (cells < side)).all(1), cells[:, 1] * side + cells[:, 0], -1)


def over(seen_NPV: Tensor, boxes_N4: Tensor) -> Tensor:
    """Means [N, V] of a tower's output over a box of each image, in shares of the image."""
    side = IMAGE // PATCH
    grid_NVhw = seen_NPV[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    return pool(grid_NVhw, boxes_N4[:, None])[:, 0]


def kinds_of(scene: Scene, person: int) -> dict[str, int]:
    """What is true of a visible person, by the name of the head that tells it; -1 where it can't be seen."""
    posture, hands = deed(scene.actions[person])
    known = {"posture": posture, "hands": hands + 1} | dict.fromkeys(LOOKS, -1)
    if scene.seen[person] > _CLEAR:
        look = scene.cast[person].look
        known |= {name: values.index(getattr(look, name) or "") for name, values in LOOKS.items()}
    return known
