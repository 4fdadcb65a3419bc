"""First stage of the small BLIP-2: its vision tower, on its own, as BLIP-2's is there before its Q-Former.

In training only, heads find the joints of cut-out persons among the patches, which teaches shapes in few steps, and
read looks, posture and hands from the tower's output over a person's place, cut out or in the whole frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.extract.crops import person_crops, pixel_box, whole_frames
from rhas.pipeline.world.figure import JOINTS
from rhas.pipeline.world.lives import HANDS, POSTURES
from rhas.pipeline.world.movie import HEIGHT, WIDTH
from rhas.pipeline.world.training.captions import deed
from rhas.pipeline.world.training.detector_losses import pool
from rhas.pipeline.world.training.detector_model import LOOKS
from rhas.pipeline.world.training.encoder_model import IMAGE, MEAN, PATCH, see
from rhas.pipeline.world.training.fit import Task
from rhas.pipeline.world.training.scenes import Scene, draw_scenes

SCENES = 16  # of a step
MARGIN = 0.1  # around boxes, as extraction cuts them out
# Standard deviations of its edges, x and y, as shares of a person's width and height (its card).
_SPREAD = np.array([0.1, 0.035])
_CLEAR = 0.6  # share of a person that must be seen for their looks to be told
_KINDS = {
    "posture": len(POSTURES),
    "hands": len(HANDS) + 1,
    **{name: len(values) for name, values in LOOKS.items()},
}


@dataclass(frozen=True)
class Cut:
    """A person of a scene who is cut out, and the box [4] that does it."""

    scene: int
    person: int
    box: np.ndarray


class AttentiveHead(nn.Module):
    """Tells a kind from the patches that it chooses: a hat is in few of them, and a mean over all hardly shows it."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.where, self.what = nn.Linear(width, 1), nn.Linear(width, size)

    def forward(self, region_NPV: Tensor) -> Tensor:
        return self.what((self.where(region_NPV).softmax(1) * region_NPV).sum(1))


class MeanHead(nn.Linear):
    """Tells a kind from the mean over patches."""

    def forward(self, region_NPV: Tensor) -> Tensor:
        return super().forward(region_NPV.mean(1))


class TowerTask(Task):
    """Scenes, cut-out persons and losses of each step; `tower` is trained in place."""

    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(
        self, seed: int, tower: Any, device: torch.device | None = None, attentive: bool = False
    ) -> None:
        self.seed, self.device, self.tower = seed, device or torch.device("cpu"), tower
        width, head = tower.config.hidden_size, AttentiveHead if attentive else MeanHead
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.heads = nn.ModuleDict({name: head(width, size) for name, size in _KINDS.items()})
            self.joints = nn.Linear(width, len(JOINTS))
        self.looks_weight = 0.25 if attentive else 0.1
        self.module = nn.ModuleDict({"tower": tower, "kinds": self.heads, "joints": self.joints})

    def losses(self, step: int) -> dict[str, Tensor]:
        scenes, rng = draw_scenes(self.seed, step, SCENES)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, whose persons `rng` cuts out."""
        cuts = [
            Cut(number, int(who), jittered(rng, scene.boxes[who]))
            for number, scene in enumerate(scenes)
            for who in np.flatnonzero(scene.visible)
        ]
        images = images_of(scenes, [cut.box for cut in cuts], [cut.scene for cut in cuts]).to(self.device)
        return self.told(see(self.tower, images), scenes, cuts)

    def told(self, seen_NPV: Tensor, scenes: list[Scene], cuts: list[Cut]) -> dict[str, Tensor]:
        """Losses of what the tower has seen of the whole scenes and then of these cut-out persons."""
        crops_CPV = seen_NPV[len(scenes) :, 1:]
        logits_CJP = self.joints(crops_CPV).transpose(1, 2)
        joints = np.array([patches(scenes[cut.scene].joints[cut.person], cut.box) for cut in cuts])
        places = torch.tensor(joints, device=self.device).flatten()
        losses = {"joints": F.cross_entropy(logits_CJP.flatten(0, 1), places, ignore_index=-1)}
        boxes = torch.tensor(
            np.array([scenes[cut.scene].boxes[cut.person] for cut in cuts]), dtype=torch.float32
        )
        frame_C = torch.tensor([cut.scene for cut in cuts], device=self.device)
        regions = {"": crops_CPV, "whole ": over(seen_NPV[frame_C], boxes.to(self.device))[:, None]}
        truth = [kinds_of(scenes[cut.scene], cut.person) for cut in cuts]
        for where, region_CPV in regions.items():
            total = region_CPV.new_zeros(())
            for name, head in self.heads.items():
                values = torch.tensor([known[name] for known in truth], device=self.device)
                loss = F.cross_entropy(head(region_CPV), values, ignore_index=-1)
                if name in ("posture", "hands"):
                    losses[where + name] = loss
                else:
                    total = total + self.looks_weight * loss
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
    """A box as the small detector finds it: sides are less exact than top and bottom, and one in ten is badly off."""
    spread = np.tile(_SPREAD if rng.random() < 0.9 else 2 * _SPREAD, 2)
    moved = np.clip(box + np.tile(box[2:] - box[:2], 2) * rng.normal(0, spread), 0, 1)
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
