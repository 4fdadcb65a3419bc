"""Trains the small BLIP-2 on the made world: first its vision tower, then, with that frozen, its Q-Former, then both.

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
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.pipeline.world.references import traits
from rhas.pipeline.world.training.captions import Claim, Known, deed, draw_claim, others_claim
from rhas.pipeline.world.training.detector_model import LOOKS
from rhas.pipeline.world.training.encoder_model import TrainedEncoder, encoder_config, save_encoder, see
from rhas.pipeline.world.training.fit import Task, fit
from rhas.pipeline.world.training.scenes import Scene, draw_reference, draw_scenes
from rhas.pipeline.world.training.tower import Cut, TowerTask, images_of, jittered, kinds_of
from rhas.pipeline.world.training.vocabulary import write_tokenizer

SCENES, JOINT_SCENES, CROPS = 12, 8, 2  # of a step, one of all of it, and of a scene
_NOWHERE = (float("nan"), float("nan"))
_OTHERS, _SEVERAL = 0.25, 0.25  # shares of false captions that are another's, and false in several things
_LOOKS_ALONE = 0.3  # share of captions that tell no deed
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
    """Images, sentences and losses of each step; the vision tower stays as it is unless `tower` trains it as well."""

    learning_rate = 1e-3
    clip_norm = 1.0
    weight_decay = 0.02

    def __init__(
        self,
        seed: int,
        tokenizer: Any,
        encoder: TrainedEncoder,
        device: torch.device | None = None,
        tower: TowerTask | None = None,
        first_step: int = 0,
    ) -> None:
        self.seed, self.device, self.tokenizer = seed, device or torch.device("cpu"), tokenizer
        self.encoder, self.tower, self.first_step = encoder, tower, first_step
        encoder.model.vision_model.requires_grad_(tower is not None)
        heads = [] if tower is None else [tower.heads, tower.joints]
        self.module = nn.ModuleList([encoder, *heads])
        if tower is not None:
            self.learning_rate = 7e-4

    def scale(self, name: str) -> float:
        return 0.5 if "vision_model" in name else 1.0

    def losses(self, step: int) -> dict[str, Tensor]:
        count = SCENES if self.tower is None else JOINT_SCENES
        scenes, rng = draw_scenes(self.seed, self.first_step + step, count)
        return self.losses_of(scenes, rng)

    def losses_of(self, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of some scenes, with cuts and sentences that `rng` draws."""
        cuts, asked = ask(scenes, rng)
        images = images_of(scenes, [cut.box for cut in cuts], [cut.scene for cut in cuts]).to(self.device)
        with torch.set_grad_enabled(self.tower is not None):
            seen_NPV = see(self.encoder.model.vision_model, images)
        losses = self._losses(seen_NPV, asked)
        if self.tower is not None:
            losses |= {
                f"tower's {name}": loss for name, loss in self.tower.told(seen_NPV, scenes, cuts).items()
            }
        return losses

    def _losses(self, seen_NPV: Tensor, asked: Asked) -> dict[str, Tensor]:
        image_N = torch.tensor(asked.image, device=self.device)
        states_NQD = self.encoder.read(seen_NPV.index_select(0, image_N), self._ids(asked.sentence))
        features_ND, matches_N = states_NQD.mean(1), self._tensor(asked.matches)
        captions = matches_N >= 0
        logits = self.encoder.match(states_NQD[captions])
        losses = {"match": F.cross_entropy(logits, matches_N[captions])}
        heads = self.encoder.heads
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


def ask(scenes: list[Scene], rng: np.random.Generator) -> tuple[list[Cut], Asked]:
    """Persons to be cut out, and sentences about the images: the whole frames first, then the cut-out persons."""
    asked = Asked()
    cuts: list[Cut] = []
    others = [known for scene in scenes for known in _known(scene)]
    for number, scene in enumerate(scenes):
        seen, there = np.flatnonzero(scene.visible), _known(scene)
        for place, person in enumerate(rng.permutation(len(seen))[:CROPS].tolist()):
            crop, who = len(scenes) + len(cuts), int(seen[person])
            cuts.append(Cut(number, who, jittered(rng, scene.boxes[who])))
            asked.reference(crop, draw_reference(rng, scene.cast, who), scene, who, whole=False)
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
            alone = [there[person].cut_out()]
            # In pairs about the same picture: what they differ in is what there is to learn.
            for true in (True, False):
                asked.caption(crop, _claim(rng, alone, 0, true, others), true)
                if place == 0:
                    asked.caption(number, _claim(rng, there, person, true, others), true)
        unseen = np.flatnonzero(scene.seen < 0.02)
        if len(unseen):
            who = int(unseen[0])
            asked.reference(number, draw_reference(rng, scene.cast, who), scene, who, whole=True)
    return cuts, asked


def _known(scene: Scene) -> list[Known]:
    """Those who are seen."""
    return [
        Known(traits(scene.cast[who].look), deed(scene.actions[who])) for who in np.flatnonzero(scene.visible)
    ]


def claimed_kinds(claim: Claim) -> dict[str, int]:
    """What a caption says, by the name of the head that tells it."""
    looks = {name: LOOKS[name].index(value) for name, value in claim.said.items()}
    return looks if claim.doing is None else looks | {"posture": claim.doing[0], "hands": claim.doing[1] + 1}


def _claim(
    rng: np.random.Generator, there: Sequence[Known], person: int, true: bool, others: Sequence[Known]
) -> Claim:
    """As `draw_claim`, of looks alone at times; false ones are false in one thing, in several, or true of `others`."""
    kind = rng.random()
    if not true and kind < _OTHERS:
        claim = others_claim(rng, there, person, others[int(rng.integers(len(others)))])
        if claim is not None:
            return claim
    changes, deeds = 3 if kind < _OTHERS + _SEVERAL else 1, rng.random() >= _LOOKS_ALONE
    return draw_claim(rng, there, person, true, changes, deeds)


def train_encoder(
    out: Path,
    work: Path,
    seed: int,
    steps: tuple[int, int, int],
    device: torch.device,
    say: Callable[[str], None],
) -> None:
    """Trains tower, Q-Former and both for so many steps, going on from what `work` holds; writes the model to `out`."""
    tower_steps, qformer_steps, joint_steps = steps
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(Path(folder))

    def stage(name: str) -> Callable[[str], None]:
        return lambda line: say(f"encoder's {name}: {line}")

    encoder = TrainedEncoder(encoder_config(), seed)
    tower = TowerTask(seed, encoder.model.vision_model, device)
    fit(tower, work / "tower.safetensors", tower_steps, device, stage("tower"))
    task = EncoderTask(seed, tokenizer, encoder, device)
    fit(task, work / "qformer.safetensors", qformer_steps, device, stage("qformer"))
    save_encoder(encoder, tokenizer, work / "in parts")
    # Goes on with the model as it would be shipped, with new heads: from there any other can be taken further.
    task = joint_task(seed, tokenizer, work / "in parts", qformer_steps, device)
    fit(task, work / "joint.safetensors", joint_steps, device, stage("whole"))
    save_encoder(task.encoder, tokenizer, out)


def joint_task(seed: int, tokenizer: Any, start: Path, first_step: int, device: torch.device) -> EncoderTask:
    """The last stage: tower and Q-Former of a saved model together, on scenes from `first_step` on."""
    encoder = TrainedEncoder(encoder_config(), seed)
    encoder.take(start)
    tower = TowerTask(seed, encoder.model.vision_model, device, attentive=True)
    return EncoderTask(seed, tokenizer, encoder, device, tower, first_step)
