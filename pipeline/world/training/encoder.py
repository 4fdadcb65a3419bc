"""Trains the small BLIP-2 on the made world: matching, and what the referred person looks like and does.

Each step sees whole frames and cut-out persons, as an extraction does. Sentences are captions, true or nearly, to be
matched; and references, which say no action, from whose features heads read the actions. This stands in for the
captions with actions that BLIP-2's own pretraining has millions of. The vision tower has such heads too, over the
person's place in the image, and one that finds the joints: through the Q-Former alone it learns colours, and actions
only much later.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from extract.crop import person_crops, pixel_box, whole_frames
from pipeline.world.film import HEIGHT, WIDTH
from pipeline.world.references import traits
from pipeline.world.training.captions import deed, draw_caption
from pipeline.world.training.detector_model import LOOKS
from pipeline.world.training.encoder_model import (
    IMAGE,
    MEAN,
    PATCH,
    TrainedEncoder,
    encoder_config,
    save_encoder,
)
from pipeline.world.training.fit import Task, fit
from pipeline.world.training.scenes import Scene, draw_reference, draw_scenes
from pipeline.world.training.vocabulary import write_tokenizer

SCENES, CROPS = 12, 2  # of a step, and of a scene
MARGIN = 0.1  # around boxes, as extraction cuts them out


@dataclass
class Asked:
    """Sentences of a step, each about one of its images; truth where it is known, -1 or NaN where it isn't asked."""

    image: list[int] = field(default_factory=list)
    sentence: list[str] = field(default_factory=list)
    matches: list[int] = field(default_factory=list)
    present: list[float] = field(default_factory=list)
    place: list[tuple[float, float]] = field(default_factory=list)
    region: list[np.ndarray] = field(default_factory=list)  # the person's box in the image, as shares of it
    kinds: dict[str, list[int]] = field(default_factory=lambda: {n: [] for n in ("posture", "hands", *LOOKS)})

    def caption(self, image: int, sentence: str, true: bool) -> None:
        self._add(image, sentence, int(true), np.nan, (np.nan, np.nan), np.zeros(4), {})

    def reference(self, image: int, sentence: str, scene: Scene, person: int, whole: bool) -> None:
        """A reference to somebody of a scene, in the whole frame or cut out."""
        there = bool(scene.visible[person])
        box, nowhere = scene.boxes[person], (np.nan, np.nan)
        place = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) if whole and there else nowhere
        region = box if whole else np.array([0.0, 0.0, 1.0, 1.0])
        posture, hands = deed(scene.actions[person])
        known = {"posture": posture, "hands": hands + 1} if there else {}
        if scene.seen[person] > 0.6:
            look = scene.cast[person].look
            known |= {name: values.index(getattr(look, name) or "") for name, values in LOOKS.items()}
        self._add(image, sentence, -1, float(there) if whole else np.nan, place, region, known)

    def _add(
        self, image: int, sentence: str, match: int, present: float, place: tuple[float, float], region: np.ndarray,
        known: dict[str, int],
    ) -> None:  # fmt: skip
        self.image.append(image)
        self.sentence.append(sentence)
        self.matches.append(match)
        self.present.append(present)
        self.place.append(place)
        self.region.append(region)
        for name, values in self.kinds.items():
            values.append(known.get(name, -1))


class EncoderTask(Task):
    """Images, sentences and losses of each step."""

    learning_rate = 1e-3
    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(
        self, seed: int, tokenizer: Any, config: Any = None, device: torch.device | None = None
    ) -> None:
        self.seed, self.device, self.tokenizer = seed, device or torch.device("cpu"), tokenizer
        self.module: TrainedEncoder = TrainedEncoder(config or encoder_config(), seed)

    def losses(self, step: int) -> dict[str, Tensor]:
        scenes, rng = draw_scenes(self.seed, step, SCENES)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, with cuts and sentences that `rng` draws."""
        images_NCSS, asked, joints_CJ = ask(scenes, rng)
        seen_NPV = self.module.see(images_NCSS.to(self.device))
        image_N = torch.tensor(asked.image, device=self.device)
        states_NQD = self.module.read(seen_NPV[image_N], self._ids(asked.sentence))
        features_ND, matches_N = states_NQD.mean(1), self._tensor(asked.matches)
        captions = matches_N >= 0
        logits = self.module.match(states_NQD[captions])
        losses = {"match": F.cross_entropy(logits, matches_N[captions])}
        heads, tower_heads = self.module.heads, self.module.tower_heads
        references = ~captions
        regions_NV = self.module.regions(
            seen_NPV[image_N[references]], self._tensor(np.array(asked.region))[references]
        )
        tower = features_ND.new_zeros(())
        for name, values in asked.kinds.items():
            truth_N = self._tensor(values)
            weight = 1.0 if name in ("posture", "hands") else 0.1
            losses[name] = weight * F.cross_entropy(heads[name](features_ND), truth_N, ignore_index=-1)
            tower = tower + weight * F.cross_entropy(
                tower_heads[name](regions_NV), truth_N[references], ignore_index=-1
            )
        losses["tower"] = tower
        patches_CJP = self.module.joints(seen_NPV[len(scenes) :])
        losses["joints"] = 0.5 * F.cross_entropy(
            patches_CJP.flatten(0, 1), self._tensor(joints_CJ).flatten(), ignore_index=-1
        )
        present_N, place_N2 = self._tensor(asked.present), self._tensor(asked.place)
        told, placed = ~present_N.isnan(), ~place_N2.isnan().any(1)
        losses["present"] = 0.3 * F.binary_cross_entropy_with_logits(
            heads["present"](features_ND)[told, 0], present_N[told]
        )
        losses["place"] = 2 * F.l1_loss(heads["place"](features_ND)[placed], place_N2[placed])
        losses["right"] = (logits.argmax(1) == matches_N[captions]).float().mean().detach()
        return losses

    def _ids(self, sentences: list[str]) -> Tensor:
        return self.tokenizer(sentences, padding=True, return_tensors="pt")["input_ids"].to(self.device)

    def _tensor(self, values: Any) -> Tensor:
        tensor = torch.tensor(values, device=self.device)
        return tensor.float() if tensor.is_floating_point() else tensor


def ask(scenes: list[Scene], rng: np.random.Generator) -> tuple[Tensor, Asked, np.ndarray]:
    """Images [N, 3, S, S] in [0, 1], the whole frames first and then C cut-out persons; the sentences about them; and
    the patch of each joint of a cut-out person [C, J], -1 for those outside.
    """
    frames = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    asked = Asked()
    boxes: list[np.ndarray] = []
    joints: list[np.ndarray] = []
    of: list[int] = []
    for number, scene in enumerate(scenes):
        named, doings = [traits(who.look) for who in scene.cast], [deed(actions) for actions in scene.actions]
        seen = np.flatnonzero(scene.visible)
        there = [named[person] for person in seen], [doings[person] for person in seen]
        for place, person in enumerate(rng.permutation(len(seen))[:CROPS].tolist()):
            crop, who = len(scenes) + len(boxes), int(seen[person])
            boxes.append(_jittered(rng, scene.boxes[who]))
            joints.append(_patches(scene.joints[who], boxes[-1]))
            of.append(number)
            asked.reference(crop, draw_reference(rng, scene.cast, who), scene, who, whole=False)
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
            true = bool(rng.random() < 0.5)
            asked.caption(crop, draw_caption(rng, [named[who]], [doings[who]], 0, true), true)
            if place == 0:
                true = bool(rng.random() < 0.5)
                asked.caption(number, draw_caption(rng, *there, person, true), true)
        unseen = np.flatnonzero(scene.seen < 0.02)
        if len(unseen):
            who = int(unseen[0])
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
    fill = MEAN
    crops = person_crops(frames, torch.tensor(np.array(boxes), dtype=torch.float32), of, IMAGE, MARGIN, fill)
    return torch.cat([whole_frames(frames, IMAGE, "squash", fill), crops]), asked, np.array(joints)


def _patches(joints_J2: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The patch [J] of a cut-out that each joint falls into, row by row; -1 for none."""
    left, top, right, bottom = pixel_box(box.tolist(), HEIGHT, WIDTH, MARGIN)
    longer, side = max(right - left, bottom - top), IMAGE // PATCH
    middle = np.array([left + right, top + bottom]) / 2
    cells = np.floor(((joints_J2 * (WIDTH, HEIGHT) - middle) / longer + 0.5) * side).astype(int)
    return np.where(((cells >= 0) & (cells < side)).all(1), cells[:, 1] * side + cells[:, 0], -1)


def _jittered(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    """A box as a detector would find it: mostly nearly right, at times badly off."""
    size = np.tile(box[2:] - box[:2], 2)
    moved = np.clip(box + size * rng.normal(0, 0.15 if rng.random() < 0.1 else 0.05, 4), 0, 1)
    return moved if (moved[2:] - moved[:2] > 0.02).all() else box


def train_encoder(
    out: Path, work: Path, seed: int, steps: int, device: torch.device, say: Callable[[str], None]
) -> None:
    """Trains for `steps` steps, going on from what `work` holds, and writes the model to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(Path(folder))
    task = EncoderTask(seed, tokenizer, device=device)
    fit(task, work / "encoder.safetensors", steps, device, lambda line: say(f"encoder: {line}"))
    save_encoder(task.module, tokenizer, out)
