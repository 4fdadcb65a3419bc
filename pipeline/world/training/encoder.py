"""Trains the small BLIP-2 on the made world: first its vision tower, then, with that frozen, its Q-Former.

Each step sees whole frames and cut-out persons, as an extraction does. Sentences are captions, true or nearly, to be
matched; and references, which say no action, from whose features heads read the actions. This stands in for the
captions with actions that BLIP-2's own pretraining has millions of. Of captions, heads also tell what they say and
which part of it is wrong: from "something is" alone, matching hardly gets off chance in so few steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.world.references import Traits, traits
from pipeline.world.training.captions import Claim, Deed, deed, draw_claim
from pipeline.world.training.detector_model import LOOKS
from pipeline.world.training.encoder_model import TrainedEncoder, encoder_config, save_encoder, see
from pipeline.world.training.fit import Task, fit
from pipeline.world.training.scenes import Scene, draw_reference, draw_scenes
from pipeline.world.training.tower import TowerTask, images_of, jittered, kinds_of
from pipeline.world.training.vocabulary import write_tokenizer

SCENES, CROPS = 12, 2  # of a step, and of a scene
_NOWHERE = (float("nan"), float("nan"))
KINDS = ("posture", "hands", *LOOKS)


@dataclass
class Asked:
    """Sentences of a step, each about one of its images; truth where it is known, -1 or NaN where it isn't asked."""

    image: list[int] = field(default_factory=list)
    sentence: list[str] = field(default_factory=list)
    matches: list[int] = field(default_factory=list)
    present: list[float] = field(default_factory=list)
    place: list[tuple[float, float]] = field(default_factory=list)
    kinds: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in KINDS})  # what is so
    claimed: dict[str, list[int]] = field(
        default_factory=lambda: {name: [] for name in KINDS}
    )  # what is said
    wrong: list[list[int]] = field(default_factory=list)  # which of that is not so

    def caption(self, image: int, claim: Claim, true: bool) -> None:
        self._add(image, claim.sentence, int(true), float("nan"), _NOWHERE, {}, claim)

    def reference(self, image: int, sentence: str, scene: Scene, person: int, whole: bool) -> None:
        """A reference to somebody of a scene, in the whole frame or cut out."""
        there, box = bool(scene.visible[person]), scene.boxes[person]
        place = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) if whole and there else _NOWHERE
        present = float(there) if whole else float("nan")
        self._add(image, sentence, -1, present, place, kinds_of(scene, person) if there else {})

    def _add(
        self,
        image: int,
        sentence: str,
        match: int,
        present: float,
        place: tuple[float, float],
        known: dict[str, int],
        claim: Claim | None = None,
    ) -> None:
        self.image.append(image)
        self.sentence.append(sentence)
        self.matches.append(match)
        self.present.append(present)
        self.place.append(place)
        for name, values in self.kinds.items():
            values.append(known.get(name, -1))
        says = {} if claim is None else claimed_kinds(claim)
        for name, values in self.claimed.items():
            values.append(says.get(name, -1))
        wrong = claim.wrong if claim else ()
        self.wrong.append([int(name in wrong) if name in says else -1 for name in KINDS])


class EncoderTask(Task):
    """Images, sentences and losses of each step; the vision tower stays as it is."""

    learning_rate = 1e-3
    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(
        self, seed: int, tokenizer: Any, module: TrainedEncoder, device: torch.device | None = None
    ) -> None:
        self.seed, self.device, self.tokenizer = seed, device or torch.device("cpu"), tokenizer
        self.module: TrainedEncoder = module
        module.model.vision_model.requires_grad_(False)

    def losses(self, step: int) -> dict[str, Tensor]:
        scenes, rng = draw_scenes(self.seed, step, SCENES)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, with cuts and sentences that `rng` draws."""
        images_NCSS, asked = ask(scenes, rng)
        with torch.no_grad():
            seen_NPV = see(self.module.model.vision_model, images_NCSS.to(self.device))
        image_N = torch.tensor(asked.image, device=self.device)
        states_NQD = self.module.read(seen_NPV[image_N], self._ids(asked.sentence))
        features_ND, matches_N = states_NQD.mean(1), self._tensor(asked.matches)
        captions = matches_N >= 0
        logits = self.module.match(states_NQD[captions])
        losses = {"match": F.cross_entropy(logits, matches_N[captions])}
        heads = self.module.heads
        for name, values in asked.kinds.items():
            weight = 1.0 if name in ("posture", "hands") else 0.1
            loss = F.cross_entropy(heads[name](features_ND), self._tensor(values), ignore_index=-1)
            losses[name] = weight * loss
        for name, values in asked.claimed.items():
            if max(values) < 0:  # nothing of the kind is said in this step
                continue
            loss = F.cross_entropy(
                heads[f"claimed {name}"](features_ND), self._tensor(values), ignore_index=-1
            )
            losses["claimed"] = losses.get("claimed", 0.0) + 0.1 * loss
        wrong_NK = self._tensor(asked.wrong)
        logits_NK, about = heads["wrong"](features_ND), wrong_NK >= 0
        losses["wrong"] = F.binary_cross_entropy_with_logits(logits_NK[about], wrong_NK[about].float())
        present_N, place_N2 = self._tensor(asked.present), self._tensor(asked.place)
        told, placed = ~present_N.isnan(), ~place_N2.isnan().any(1)
        logits_N = heads["present"](features_ND)[told, 0]
        losses["present"] = 0.3 * F.binary_cross_entropy_with_logits(logits_N, present_N[told])
        losses["place"] = 2 * F.l1_loss(heads["place"](features_ND)[placed], place_N2[placed])
        losses["right"] = (logits.argmax(1) == matches_N[captions]).float().mean().detach()
        return losses

    def _ids(self, sentences: list[str]) -> Tensor:
        return self.tokenizer(sentences, padding=True, return_tensors="pt")["input_ids"].to(self.device)

    def _tensor(self, values: Any) -> Tensor:
        tensor = torch.tensor(values, device=self.device)
        return tensor.float() if tensor.is_floating_point() else tensor


def ask(scenes: list[Scene], rng: np.random.Generator) -> tuple[Tensor, Asked]:
    """Images [N, 3, S, S] in [0, 1], the whole frames first and then cut-out persons, and the sentences about them."""
    asked = Asked()
    boxes: list[np.ndarray] = []
    of: list[int] = []
    for number, scene in enumerate(scenes):
        named, doings = [traits(who.look) for who in scene.cast], [deed(actions) for actions in scene.actions]
        seen = np.flatnonzero(scene.visible)
        there = [named[person] for person in seen], [doings[person] for person in seen]
        for place, person in enumerate(rng.permutation(len(seen))[:CROPS].tolist()):
            crop, who = len(scenes) + len(boxes), int(seen[person])
            boxes.append(jittered(rng, scene.boxes[who]))
            of.append(number)
            asked.reference(crop, draw_reference(rng, scene.cast, who), scene, who, whole=False)
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
            # In pairs about the same picture: what they differ in is what there is to learn.
            for true in (True, False):
                asked.caption(crop, _claim(rng, [named[who]], [doings[who]], 0, true), true)
                if place == 0:
                    asked.caption(number, _claim(rng, *there, person, true), true)
        unseen = np.flatnonzero(scene.seen < 0.02)
        if len(unseen):
            who = int(unseen[0])
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
    return images_of(scenes, boxes, of), asked


def claimed_kinds(claim: Claim) -> dict[str, int]:
    """What a caption says, by the name of the head that tells it."""
    posture, hands = claim.doing
    return {"posture": posture, "hands": hands + 1} | {
        name: LOOKS[name].index(value) for name, value in claim.said.items()
    }


def _claim(
    rng: np.random.Generator, persons: Sequence[Traits], doings: Sequence[Deed], person: int, true: bool
) -> Claim:
    """As `draw_claim`; a third of the false ones are false in several things, which is learnt first."""
    return draw_claim(rng, persons, doings, person, true, changes=3 if rng.random() < 0.35 else 1)


def train_encoder(
    out: Path,
    work: Path,
    seed: int,
    tower_steps: int,
    steps: int,
    device: torch.device,
    say: Callable[[str], None],
) -> None:
    """Trains tower and Q-Former for so many steps, going on from what `work` holds, and writes the model to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(Path(folder))
    module = TrainedEncoder(encoder_config(), seed)
    tower = TowerTask(seed, module.model.vision_model, device)
    fit(tower, work / "tower.safetensors", tower_steps, device, lambda line: say(f"encoder's tower: {line}"))
    task = EncoderTask(seed, tokenizer, module, device)
    fit(task, work / "encoder.safetensors", steps, device, lambda line: say(f"encoder: {line}"))
    save_encoder(task.module, tokenizer, out)
