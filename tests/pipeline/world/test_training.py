"""Fitting the small models: data that is right, losses that are what they say, and runs that go on where they were."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from rhas.extract.config import DetectorConfig, EncoderConfig, load_config
from rhas.extract.encode import load_encoder
from rhas.extract.ground import load_detector
from rhas.extract.refine.refiner import load_refiner
from rhas.extract.weights.shipped_weights import FOLDER, place
from rhas.manifests.common.errors import InputError
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.figure import JOINTS
from rhas.pipeline.world.lives import HANDS, POSTURES
from rhas.pipeline.world.looks import draw_looks
from rhas.pipeline.world.making import Models
from rhas.pipeline.world.movie import HEIGHT, WIDTH, MadeMovie
from rhas.pipeline.world.references import traits
from rhas.pipeline.world.training.captions import Known, caption, draw_claim, others_claim
from rhas.pipeline.world.training.detector import DetectorTask
from rhas.pipeline.world.training.detector_losses import Targets, corners, detection_losses, iou, pool, region
from rhas.pipeline.world.training.detector_model import detector_config, save_detector
from rhas.pipeline.world.training.detector_shapes import ShapeHead
from rhas.pipeline.world.training.encoder import EncoderTask
from rhas.pipeline.world.training.encoder_model import (
    IMAGE,
    PATCH,
    TrainedEncoder,
    encoder_config,
    save_encoder,
)
from rhas.pipeline.world.training.fit import Task, fit, learning_rate
from rhas.pipeline.world.training.measure_detector import measure_detector
from rhas.pipeline.world.training.measure_encoder import measure_encoder
from rhas.pipeline.world.training.measure_tracks import measure_tracks
from rhas.pipeline.world.training.refiner import RefinerTask, train_refiner
from rhas.pipeline.world.training.scenes import draw_reference, draw_scenes
from rhas.pipeline.world.training.tower import TowerTask, images_of, jittered, patches
from rhas.pipeline.world.training.vocabulary import words, write_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> object:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def small_detector(tokenizer: object) -> DetectorTask:
    return DetectorTask(0, tokenizer, detector_config(dim=16, width=32, text_layers=1))


def small_encoder(tokenizer: object) -> EncoderTask:
    return EncoderTask(0, tokenizer, TrainedEncoder(encoder_config(vision=32, width=32, layers=2), 0))


def whole_refiner(tokenizer: object) -> RefinerTask:
    return RefinerTask(0)


def small_whole_encoder(tokenizer: object) -> EncoderTask:
    encoder = TrainedEncoder(encoder_config(vision=32, width=32, layers=2), 0)
    tower = TowerTask(0, encoder.model.vision_model, attentive=True)
    return EncoderTask(0, tokenizer, encoder, None, tower, first_step=7)


def small_tower(_: object) -> TowerTask:
    return TowerTask(0, TrainedEncoder(encoder_config(vision=32, width=32, layers=2), 0).model.vision_model)


def test_every_word_of_the_world_is_one_token_with_ids_that_groundingdino_relies_on(tokenizer) -> None:
    ids = tokenizer.convert_tokens_to_ids(["[PAD]", "[CLS]", "[SEP]", ".", "?"])
    assert ids == [0, 101, 102, 1012, 1029]
    for scene in draw_scenes(0, 0, 12)[0]:
        for who in scene.cast:
            for sentence in who.references:
                said = caption(sentence, (3, 2))
                assert tokenizer.tokenize(said) == said.split()
    assert len(set(words())) == len(words())


def test_a_step_has_the_same_scenes_whenever_it_is_asked_for_and_others_than_the_next() -> None:
    first, again, following = (draw_scenes(0, step, 4)[0] for step in (7, 7, 8))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.boxes, b.boxes)
    assert any((a.image != b.image).any() for a, b in zip(first, following, strict=True))
    assert all(scene.image.shape == (HEIGHT, WIDTH, 3) and scene.visible.any() for scene in first)


def test_references_are_practised_on_one_attribute_and_still_mean_one_person() -> None:
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(("hair", "hat", "trousers", "shirt"), 0)
    for step in range(6):
        for scene in draw_scenes(1, step, 8)[0]:
            for person in range(len(scene.cast)):
                sentence = draw_reference(rng, scene.cast, person)
                for name in counts:
                    counts[name] += name in sentence.split()
    assert min(counts.values()) > 0.08 * sum(counts.values())


def known_persons(rng: np.random.Generator, count: int) -> list[Known]:
    def doing() -> tuple[int, int]:
        return int(rng.integers(len(POSTURES))), int(rng.integers(-1, len(HANDS)))

    return [Known(traits(look), doing()) for look in draw_looks(rng, count)]


@pytest.mark.parametrize("deeds", [True, False])
def test_captions_are_true_or_false_of_everybody(deeds: bool) -> None:
    rng = np.random.default_rng(0)
    nouns = {True: 0, False: 0}
    for _ in range(400):
        persons, who = known_persons(rng, 3), int(rng.integers(3))
        for true in (True, False):
            claim = draw_claim(rng, persons, who, true, int(rng.integers(1, 4)), deeds)
            assert any(_true_of(claim.sentence, person) for person in persons) is true, claim.sentence
            assert bool(claim.wrong) is not true
            nouns[true] += {"man", "woman"}.isdisjoint(claim.sentence.split())
    # What is named tells nothing of what is true.
    assert abs(nouns[True] - nouns[False]) < 0.08 * 400


def test_a_strangers_caption_is_true_of_the_stranger_and_of_nobody_here() -> None:
    rng = np.random.default_rng(0)
    drawn = 0
    for _ in range(400):
        *here, stranger = known_persons(rng, 3)
        claim = others_claim(rng, here, 1, stranger)
        if claim is not None:
            drawn += 1
            assert _true_of(claim.sentence, stranger)
            assert not any(_true_of(claim.sentence, person) for person in here)
            assert claim.wrong == here[1].denies(claim.said, claim.doing) != frozenset()
    assert drawn > 350


def test_nothing_is_said_of_a_cut_out_persons_height() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        person = known_persons(rng, 1)[0].cut_out()
        for true in (True, False):
            assert {"tall", "short"}.isdisjoint(draw_claim(rng, [person], 0, true).sentence.split())


def _true_of(sentence: str, person: Known) -> bool:
    """Whether a caption is true of a person, read from its words alone."""
    said, _, deeds = sentence.partition(" is ")
    tokens = said.split()
    looks = {
        noun: tokens[tokens.index(noun) - 1]
        for noun in ("shirt", "trousers", "hair", "hat")
        if noun in tokens
    }
    kinds = {"short": "height", "tall": "height", "man": "gender", "woman": "gender"}
    looks |= {kinds[token]: token for token in tokens if token in kinds}
    return deeds in ("", caption("", person.doing).removeprefix(" is ")) and all(
        person.looks.get(k) == v for k, v in looks.items()
    )


def test_overlaps_of_boxes_are_those_that_pixels_have() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (np.sort(rng.integers(0, 20, (2, 2)), axis=0) for _ in range(2))
        if (a[1] == a[0]).any() or (b[1] == b[0]).any():
            continue
        grids = []
        for low, high in (a, b):
            grid = np.zeros((20, 20), bool)
            grid[low[1] : high[1], low[0] : high[0]] = True
            grids.append(grid)
        expected = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
        boxes = [torch.tensor(box.reshape(4) / 20) for box in (a, b)]
        assert iou(*boxes).item() == pytest.approx(expected)
        hull = np.prod(np.maximum(a[1], b[1]) - np.minimum(a[0], b[0]))
        generalised = expected - (hull - (grids[0] | grids[1]).sum()) / hull
        assert iou(*boxes, generalised=True).item() == pytest.approx(generalised)
    torch.testing.assert_close(
        corners(torch.tensor([0.5, 0.5, 0.2, 0.4])), torch.tensor([0.4, 0.3, 0.6, 0.7])
    )


def test_pooling_takes_cells_by_how_much_of_them_is_in_the_box() -> None:
    features = torch.arange(8.0).reshape(1, 1, 2, 4)
    whole, cell, part = [0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.5, 1.0], [0.125, 0.0, 0.5, 0.5]
    pooled = pool(features, torch.tensor([[whole, cell, part]]))[0, :, 0]
    torch.testing.assert_close(pooled, torch.tensor([3.5, 5.0, (0.5 * 0 + 1 * 1) / 1.5]))
    torch.testing.assert_close(
        region(torch.tensor([0.1, 0.2, 0.3, 0.6]), 0.5, 1.0), torch.tensor([0.1, 0.4, 0.3, 0.6])
    )


def test_losses_are_least_where_who_is_meant_is_found_and_chosen() -> None:
    persons = [[0.25, 0.5, 0.2, 0.6], [0.75, 0.5, 0.2, 0.6]]  # centre and size
    boxes = corners(torch.tensor([persons]))
    both, no = torch.tensor([[True, True]]), torch.tensor([[False, False]])
    tokens = torch.ones(1, 5, dtype=torch.bool)
    phrase = torch.tensor([[False, True, True, False, False]])
    targets = Targets(boxes, both, no, torch.tensor([[True, False]]), phrase, tokens)
    centres = torch.tensor([[0.25, 0.5], [0.75, 0.5]])

    def losses(places: list[list[float]], logits: list[float]) -> dict[str, float]:
        answer = torch.tensor(logits)[None, :, None].expand(1, -1, 5), torch.tensor([places])
        found = detection_losses(answer, [answer, answer], targets, centres)
        return {name: float(value) for name, value in found.items()}

    good, wrong = losses(persons, [4.0, -4.0]), losses(persons, [-4.0, 4.0])
    shifted = losses([[0.3, 0.55, 0.2, 0.6], [0.75, 0.5, 0.2, 0.6]], [4.0, -4.0])
    assert good["right"] == 1 and wrong["right"] == 0
    assert good["box"] == pytest.approx(0, abs=1e-4) and shifted["box"] > 0.2
    assert good["rank"] < 0.01 < 4 < wrong["rank"] and good["word"] < wrong["word"]


def test_of_boxes_about_one_person_the_more_exact_should_have_the_higher_score() -> None:
    person = [0.5, 0.5, 0.2, 0.6]
    targets = Targets(
        corners(torch.tensor([[person]])), torch.tensor([[True]]), torch.tensor([[False]]), torch.tensor([[True]]),
        torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool),
    )  # fmt: skip
    boxes = torch.tensor([[person, [0.56, 0.5, 0.2, 0.6]]])
    logits = torch.tensor([[[3.0], [3.0]]], requires_grad=True)
    detection_losses((logits.detach(), boxes), [(logits, boxes)], targets, torch.tensor([[0.5, 0.5]] * 2))[
        "word"
    ].backward()
    assert logits.grad is not None and logits.grad[0, 0, 0] < 0 < logits.grad[0, 1, 0]


def test_the_last_decoder_layers_answer_is_what_the_detector_says(tokenizer) -> None:
    task = small_detector(tokenizer)
    task.module.eval()
    for parameter in task.module.model.bbox_embed.parameters():  # they begin with boxes where proposals were
        torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.tensor([task.captioner.captions(["the woman in the red shirt"])[0].input_ids])
    with torch.no_grad():
        output = task.module.model(pixel_values=torch.randn(1, 3, HEIGHT, WIDTH), input_ids=ids)
        layers = task.module.layers(output, torch.ones_like(ids, dtype=torch.bool))
    assert len(layers) == 2 and not torch.equal(layers[0][1], layers[1][1])
    torch.testing.assert_close(layers[1][1], output.pred_boxes, atol=1e-6, rtol=0)
    torch.testing.assert_close(layers[1][0], output.logits[..., : ids.shape[1]], atol=1e-5, rtol=0)


def test_shapes_cost_nothing_where_joints_and_sides_are_told_and_something_one_cell_beside() -> None:
    h, w, J = 6, 10, len(JOINTS)
    box = torch.tensor([[[0.2, 0.1, 0.6, 0.9], [0.0, 0.0, 0.0, 0.0]]])
    joints = torch.rand(1, 2, J, 2, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.25
    seen = torch.tensor([[True, False]])
    told = torch.zeros(1, 3 * J + 4, h, w)
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    told[0, 3 * J :] = torch.stack([x - 2, y - 0.6, 6 - x, 5.4 - y])
    for j, (at_x, at_y) in enumerate((joints[0, 0] * torch.tensor([w, h])).tolist()):
        told[0, j, int(at_y), int(at_x)] = 100
        told[0, J + 2 * j, int(at_y), int(at_x)] = at_x % 1
        told[0, J + 2 * j + 1, int(at_y), int(at_x)] = at_y % 1
    head = ShapeHead(3 * J + 4)
    for part, rows in (
        (head.which, range(J)),
        (head.within, range(J, 3 * J)),
        (head.edges, range(3 * J, 3 * J + 4)),
    ):
        torch.nn.init.zeros_(part.bias)
        part.weight.data = torch.eye(3 * J + 4)[rows.start : rows.stop, :, None, None]
    assert head(told, box, joints, seen).item() == pytest.approx(0, abs=1e-4)
    beside = joints + torch.tensor([1 / w, 0])
    assert head(told, box, beside, seen).item() > 50


def test_joints_of_a_cut_out_are_where_they_are_in_the_frame() -> None:
    """What stands at a joint's patch of a cut-out is what stands at the joint in the frame."""
    scenes, rng = draw_scenes(0, 3, 6)
    near = []
    for scene in scenes:
        for who in np.flatnonzero(scene.seen > 0.9):
            box = jittered(rng, scene.boxes[who])
            crop = images_of([scene], [box], [0])[1].numpy()
            for joint, patch in zip(scene.joints[who], patches(scene.joints[who], box), strict=True):
                x, y = (joint * (WIDTH, HEIGHT)).astype(int)
                if patch < 0 or not (2 <= x < WIDTH - 2 and 2 <= y < HEIGHT - 2):
                    continue
                row, column = divmod(int(patch), IMAGE // PATCH)
                cut = crop[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
                pixel = scene.image[y, x] / 255
                # Somewhere in the patch is the colour that the frame has at the joint.
                near.append(float(np.abs(cut - pixel[:, None, None]).sum(0).min()))
    assert len(near) > 60 and np.mean(np.array(near) < 0.15) > 0.9


@pytest.mark.parametrize(
    "make", [small_detector, small_tower, small_encoder, small_whole_encoder, whole_refiner]
)
def test_a_few_scenes_are_learnt_by_heart(make, tokenizer) -> None:
    task: Task = make(tokenizer)
    scenes, _ = draw_scenes(0, 0, 4)
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=2e-3)
    totals = []
    for _ in range(25):
        losses = task.losses_of(scenes, np.random.default_rng(0))  # type: ignore[attr-defined]
        total = torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum()
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(task.module.parameters(), task.clip_norm)
        optimiser.step()
        totals.append(total.item())
    assert np.mean(totals[-3:]) < 0.75 * np.mean(totals[:3])


@pytest.mark.parametrize(
    "make", [small_detector, small_tower, small_encoder, small_whole_encoder, whole_refiner]
)
def test_a_run_that_was_cut_ends_with_the_weights_of_one_that_was_not(
    make, tokenizer, tmp_path: Path
) -> None:
    tasks = [make(tokenizer) for _ in range(3)]
    fit(tasks[0], tmp_path / "whole.safetensors", 4, CPU, lambda _: None)
    part = tmp_path / "part.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(_Cut(tasks[1], 2), part, 4, CPU, lambda _: None)
    fit(tasks[2], part, 4, CPU, lambda _: None)
    whole, resumed = tasks[0].module.state_dict(), tasks[2].module.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class _Cut(Task):
    """A task that is saved after each step and interrupted at one."""

    def __init__(self, task: Task, at: int) -> None:
        self.task, self.at, self.module = task, at, task.module
        self.learning_rate, self.clip_norm, self.weight_decay = (
            task.learning_rate,
            task.clip_norm,
            task.weight_decay,
        )
        self.scale = task.scale  # type: ignore[method-assign]

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        if step == self.at:
            raise KeyboardInterrupt
        return self.task.losses(step)


@pytest.fixture(autouse=True)
def _saved_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhas.pipeline.world.training.fit._SAVE_EVERY_S", 0.0)


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates[0] == 0.01 and rates[99:300] == [1.0] * 201 and rates[-1] < 1e-4
    assert all(a >= b for a, b in itertools.pairwise(rates[300:]))


def test_what_is_saved_loads_as_an_extraction_loads_it(tokenizer, tmp_path: Path) -> None:
    save_detector(small_detector(tokenizer).module, tokenizer, tmp_path / "detector")
    config = DetectorConfig(
        implementation="transformers",
        weights=str(tmp_path / "detector"),
        short_side=96,
        long_side=160,
        box_threshold=0.0,
    )
    scenes, _ = draw_scenes(0, 0, 2)
    frames = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    found = load_detector(config).detect(frames, ["the person in the red shirt"])
    assert len(found[0]) == 2 and all(len(candidates) for candidates in found[0])
    save_encoder(small_encoder(tokenizer).encoder, tokenizer, tmp_path / "encoder")
    encoder = load_encoder(EncoderConfig(weights=str(tmp_path / "encoder")))
    assert encoder.image_size == IMAGE and encoder.feature_shape == (32,)
    seen = encoder.see(torch.rand(2, 3, IMAGE, IMAGE))
    red, blue = (encoder.read(seen, f"the person in the {colour} shirt") for colour in ("red", "blue"))
    assert torch.isfinite(red).all() and not torch.allclose(red, blue)
    train_refiner(tmp_path / "refiner", tmp_path / "work", 0, 1, CPU, lambda _: None)
    trained, loaded = RefinerTask(0), load_refiner(str(tmp_path / "refiner")).net.state_dict()
    fit(trained, tmp_path / "again.safetensors", 1, CPU, lambda _: None)
    for name, tensor in trained.module.state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float())


def test_shipped_weights_have_a_name_and_others_are_an_error() -> None:
    assert place("owner/model", "detector") == "owner/model"
    assert Path(place("shipped:mini", "encoder")).is_dir()
    for wrong in ("shipped:nothing", "shipped:../shipped/mini"):
        with pytest.raises(InputError, match="shipped:mini"):
            place(wrong, "detector")


def test_shipped_weights_are_small_and_say_what_they_are() -> None:
    files = [path for path in (FOLDER / "mini").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20
    for part in ("detector", "refiner", "encoder"):
        card = (FOLDER / "mini" / part / "README.md").read_text()
        assert "measure-models" in card and "Apache-2.0" in card


def test_the_shipped_detector_finds_who_is_meant_in_movies_it_has_not_seen() -> None:
    found = measure_detector(load_config("mini").detector, movies=3, seed=1)
    assert found.questions.movie.nunique() == 3 and len(found.present) > 300
    assert found.share("right") + found.share("wrong") + found.share("missed") == pytest.approx(1)
    assert found.share("right") >= 0.75 and found.share("wrong") <= 0.1 and found.all_right >= 0.75
    assert found.calibration_error <= 0.15


def test_tracks_are_measured_as_users_get_them() -> None:
    """Looked at in every sample, whole movies; held against the same pictures' truth, drawn once more."""
    config = load_config("mini", ["tracks.implementation=builtin", "tracks.every_s=0.4"])
    found, looked = measure_tracks(config, movies=1, seed=1)
    movie = MadeMovie.made(HELD_OUT, 1, 0)
    frames = range(0, movie.frames, 3)
    assert looked == pytest.approx(0.5, abs=0.02)
    there = np.array([(p.inside * p.visible) for p in map(movie.picture, frames)])
    assert len(found.present) == (there >= 0.25).sum()
    assert len(found.questions) - len(found.present) == (there < 0.02).sum()
    assert set(found.questions.status) <= {"detected", "followed", "tracked", "missing"}
    shares = [found.share(outcome) for outcome in ("right", "wrong", "missed")]
    assert sum(shares) == pytest.approx(1) and shares[0] >= 0.5


def test_boxes_are_measured_as_they_are_found_or_made_exact(tmp_path: Path) -> None:
    exact, as_found = (Models.of(None, as_found).config().detector for as_found in (False, True))
    assert exact.refine == str(FOLDER / "mini" / "refiner") and as_found == exact.replace(refine=None)
    assert Models.of(tmp_path, False).config().detector.refine is None  # a folder that has no such net


def test_the_shipped_encoder_tells_true_captions_from_false_ones() -> None:
    figures = measure_encoder(FOLDER / "mini" / "encoder", movies=12, seed=1)
    assert figures["matching, cut-out persons, false ones are another person's"] >= 0.85
    assert figures["matching, cut-out persons, false ones are false in a single thing"] >= 0.7
    # With so few movies the probe itself is fitted to a tenth of what the model card's is.
    assert figures["posture from partial features (linear)"] >= 0.7
    assert figures["hands from partial features (linear)"] >= 0.65
