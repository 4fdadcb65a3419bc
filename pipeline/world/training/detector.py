"""Trains the small GroundingDINO on the made world."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rhas.extract.ground.text import Captioner
from rhas.pipeline.world.figure import JOINTS
from rhas.pipeline.world.looks import Look
from rhas.pipeline.world.movie import HEIGHT, WIDTH
from rhas.pipeline.world.training.detector_losses import Targets, detection_losses, look_losses
from rhas.pipeline.world.training.detector_model import (
    LOOKS,
    STRIDE,
    TrainedDetector,
    detector_config,
    save_detector,
)
from rhas.pipeline.world.training.fit import Task, fit
from rhas.pipeline.world.training.scenes import Scene, draw_reference, draw_scenes
from rhas.pipeline.world.training.vocabulary import write_tokenizer

IMAGES, SENTENCES = 10, 2  # of a step, and of an image
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as extraction normalises
_MOST_PERSONS = 4
_ABSENT = 0.08  # share of sentences about somebody who isn't in the picture
_EVERYBODY, EVERYBODY = 0.08, "the person"  # share of sentences that mean everybody, and how they do


class DetectorTask(Task):
    """Scenes, sentences and losses of each step."""

    def __init__(
        self,
        seed: int,
        tokenizer: Any,
        config: Any = None,
        device: torch.device | None = None,
        first_step: int = 0,
    ) -> None:
        self.seed, self.device, self.first_step = seed, device or torch.device("cpu"), first_step
        self.tokenizer = tokenizer
        self.captioner = Captioner(tokenizer, 64)
        self.module: TrainedDetector = TrainedDetector(config or detector_config(), seed)
        self.centres_A2 = torch.cat([_centres(STRIDE), _centres(2 * STRIDE)]).to(self.device)

    def scale(self, name: str) -> float:
        return 0.2 if "sampling_offsets" in name else 1.0

    def losses(self, step: int) -> dict[str, Tensor]:
        scenes, rng = draw_scenes(self.seed, self.first_step + step, IMAGES)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, with sentences that `rng` draws."""
        pixels = np.stack([scene.image for scene in scenes])
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        pixels_B3HW = ((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std).to(self.device)
        image_N, words, targets = self._ask(scenes, rng)
        seen = self.module.see(pixels_B3HW)
        output = self.module.ground(seen, image_N, pixels_B3HW, words)
        boxes, clear, looks = self._looks(scenes)
        joints = self._padded([scene.joints for scene in scenes], (len(JOINTS), 2))
        visible = self._padded([scene.visible for scene in scenes]).bool()
        tokens, model = targets.tokens_NS, self.module
        proposals = (
            output.enc_outputs_class[..., : tokens.shape[1]],
            output.enc_outputs_coord_logits.sigmoid(),
        )
        fine = seen[0][0][0]
        after = output.encoder_last_hidden_state_vision[:, : fine.shape[2] * fine.shape[3]]
        after = after.transpose(1, 2).unflatten(2, fine.shape[2:])
        looks_N = {name: values[image_N] for name, values in looks.items()}
        return {
            **detection_losses(proposals, model.layers(output, tokens), targets, self.centres_A2),
            "look": 0.5 * look_losses(fine, model.backbone_heads, boxes, clear, looks)
            + 0.5 * look_losses(after, model.encoder_heads, boxes[image_N], clear[image_N], looks_N),
            "shape": 0.3 * model.backbone_shapes(fine, boxes, joints, visible)
            + 0.3 * model.encoder_shapes(after, boxes[image_N], joints[image_N], visible[image_N]),
        }

    def _ask(
        self, scenes: list[Scene], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Targets]:
        images, captions = [], []
        meant: list[np.ndarray] = []
        for number, scene in enumerate(scenes):
            seen, unseen = np.flatnonzero(scene.visible), np.flatnonzero(scene.seen < 0.02)
            asked = rng.permutation(seen)[:SENTENCES].tolist()
            asked += rng.choice(seen, SENTENCES - len(asked)).tolist()
            if len(unseen) and rng.random() < _ABSENT * SENTENCES * 3:  # not every scene has somebody absent
                asked[-1] = int(unseen[0])
            for person in asked:
                everybody = rng.random() < _EVERYBODY
                sentence = EVERYBODY if everybody else draw_reference(rng, scene.cast, person)
                images.append(number)
                captions.append(self.captioner.captions([sentence])[0])
                meant.append(scene.visible & (everybody | (np.arange(len(scene.cast)) == person)))
        longest = max(len(caption.input_ids) for caption in captions)
        ids, phrase = (
            torch.zeros(len(captions), longest, dtype=torch.long),
            torch.zeros(len(captions), longest, dtype=torch.bool),
        )
        for row, caption in enumerate(captions):
            ids[row, : len(caption.input_ids)] = torch.tensor(caption.input_ids)
            phrase[row, caption.spans[0].start : caption.spans[0].stop] = True
        image_N = torch.tensor(images, device=self.device)
        ids = ids.to(self.device)
        boxes = self._padded([scene.boxes for scene in scenes], (4,))
        visible = self._padded([scene.visible for scene in scenes]).bool()
        hidden = self._padded([~scene.visible & (scene.seen > 0.02) for scene in scenes]).bool()
        targets = Targets(
            boxes[image_N], visible[image_N], hidden[image_N], self._padded(meant).bool(), phrase.to(self.device),
            ids != 0,
        )  # fmt: skip
        return image_N, {"input_ids": ids, "attention_mask": (ids != 0).long()}, targets

    def _looks(self, scenes: list[Scene]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Boxes [B, P, 4], whose looks are where a standing person has them [B, P], and the looks as indices."""
        boxes = self._padded([scene.boxes for scene in scenes], (4,))
        seen = self._padded([scene.seen > 0.7 for scene in scenes]).bool()
        upright = (boxes[..., 3] - boxes[..., 1]) * HEIGHT > (boxes[..., 2] - boxes[..., 0]) * WIDTH
        looks = {
            name: self._padded(
                [np.array([_index(name, who.look) for who in scene.cast]) for scene in scenes]
            ).long()
            for name in LOOKS
        }
        return boxes, seen & upright, looks

    def _padded(self, rows: list[np.ndarray], shape: tuple[int, ...] = ()) -> Tensor:
        """Values of each scene's persons [B, P, ...], zero for who isn't there."""
        padded = np.zeros((len(rows), _MOST_PERSONS, *shape), dtype=np.float32)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return torch.from_numpy(padded).to(self.device)


def _index(name: str, look: Look) -> int:
    return LOOKS[name].index(getattr(look, name) or "")


def _centres(stride: int) -> Tensor:
    """Places [positions, 2] of a feature level, x and y as shares of the frame, row by row."""
    h, w = -(-HEIGHT // stride), -(-WIDTH // stride)
    y, x = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


class SecondCycle(DetectorTask):
    """On from weights that are there, on scenes that were not seen, at a lower rate that falls to nothing once more."""

    learning_rate = 5e-4


def train_detector(
    out: Path,
    work: Path,
    seed: int,
    steps: tuple[int, int],
    device: torch.device,
    say: Callable[[str], None],
) -> None:
    """Trains for so many steps of both cycles, going on from what `work` holds, and writes the model to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(Path(folder))

    def cycle(name: str) -> Callable[[str], None]:
        return lambda line: say(f"detector's {name} cycle: {line}")

    task = DetectorTask(seed, tokenizer, device=device)
    fit(task, work / "detector.safetensors", steps[0], device, cycle("first"))
    again = SecondCycle(seed, tokenizer, device=device, first_step=steps[0])
    again.module.load_state_dict(task.module.state_dict())
    fit(again, work / "detector-again.safetensors", steps[1], device, cycle("second"))
    save_detector(again.module, tokenizer, out)
