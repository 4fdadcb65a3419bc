"""Boxes that are made exact: cut-outs show what lies around a box, places come back as parts of the frame, and the
shipped net finds the sides of persons whom it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import softmax

from rhas.extract.batches import Batches
from rhas.extract.config import DetectorConfig, ExtractConfig, load_config
from rhas.extract.decode.on_device import on_device
from rhas.extract.ground.calibration import overlap
from rhas.extract.refine.net import CHANNELS, SIZE, BoxNet
from rhas.extract.refine.refiner import Refiner, cut_out, load_refiner, places_of
from rhas.extract.run.places import check_places
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.training.detector_losses import iou
from rhas.pipeline.world.training.refiner import off, places_loss
from rhas.pipeline.world.training.scenes import draw_scenes

CPU = torch.device("cpu")
HEIGHT, WIDTH = 120, 200


def painted(box: list[float]) -> torch.Tensor:
    """A black frame in which the pixels of a box are white."""
    frame = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    x1, y1, x2, y2 = box
    frame[:, round(y1 * HEIGHT) : round(y2 * HEIGHT), round(x1 * WIDTH) : round(x2 * WIDTH)] = 255
    return frame


# In the middle, wide, high, and at the frame's borders, where less is cut out.
BOXES = [
    [0.4, 0.25, 0.6, 0.75],
    [0.2, 0.5, 0.8, 0.6],
    [0.45, 0.1, 0.5, 0.9],
    [0.0, 0.5, 0.2, 1.0],
    [0.7, 0.0, 1.0, 0.3],
]


@pytest.mark.parametrize("box", BOXES)
def test_what_is_seen_in_a_cut_out_is_where_its_places_say(box: list[float]) -> None:
    """A white box, cut out by one that is off: its white pixels begin and end where `of_box` has it."""
    moved = np.clip(np.add(box, [0.02, -0.03, 0.03, 0.02]), 0, 1)
    cutouts = cut_out(painted(box), torch.tensor([moved.tolist()], dtype=torch.float32), [0])
    assert cutouts.pixels.shape == (1, CHANNELS, SIZE, SIZE)
    white = cutouts.pixels[0, :3].mean(0) > 0.25  # grey, which fills what is outside of the frame, is 0
    places = cutouts.of_box(torch.tensor([box]))[0] * SIZE
    for axis, seen in enumerate((white.any(0), white.any(1))):
        at = torch.nonzero(seen)[:, 0]
        assert abs(at[0] - places[axis, 0]) <= 1 and abs(at[-1] + 1 - places[axis, 1]) <= 1
    # The box that it is cut out by is marked in the same way.
    marked, own = cutouts.pixels[0, 3] > 0, cutouts.of_box(torch.tensor([moved.tolist()]).float())[0] * SIZE
    for axis, seen in enumerate((marked.any(0), marked.any(1))):
        at = torch.nonzero(seen)[:, 0]
        assert abs(at[0] - own[axis, 0]) <= 1 and abs(at[-1] + 1 - own[axis, 1]) <= 1


@pytest.mark.parametrize("box", BOXES)
def test_places_of_a_cut_out_are_those_of_the_frame_again(box: list[float]) -> None:
    boxes = torch.tensor([box])
    cutouts = cut_out(painted(box), boxes, [0])
    torch.testing.assert_close(cutouts.of_frame(cutouts.of_box(boxes)), boxes, atol=1e-6, rtol=0)


def test_a_side_is_the_mean_of_its_distribution() -> None:
    logits = torch.randn(3, 2, 2, SIZE, generator=torch.Generator().manual_seed(0)) * 3
    expected = (softmax(logits.numpy(), -1) * (np.arange(SIZE) + 0.5)).sum(-1) / SIZE
    np.testing.assert_allclose(places_of(logits).numpy(), expected, atol=1e-6)


def test_the_loss_of_places_is_least_where_the_two_pixels_beside_them_share_them() -> None:
    """Cross entropy is least, and the entropy of the shares, where the distribution is the shares (Gibbs)."""
    place = torch.full((1, 2, 2), (20.25 + 0.5) / SIZE)
    logits = torch.full((1, 2, 2, SIZE), -30.0)
    logits[..., 20], logits[..., 21] = np.log(0.75), np.log(0.25)
    least = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert places_loss(logits, place).item() == pytest.approx(least, abs=1e-5)
    assert places_of(logits).numpy() == pytest.approx(place.numpy(), abs=1e-5)
    for other in (logits.roll(1, -1), torch.zeros_like(logits)):
        assert places_loss(other, place).item() > least + 0.1


def rows_of(statuses: list[FrameStatus]) -> PersonBoxes:
    rows = no_boxes(np.ones(len(statuses), bool))
    rows.status[:] = statuses
    at = np.flatnonzero(np.isin(rows.status, HAS_BOX))
    rows.box[at] = BOXES[0]
    rows.score[at], rows.sure[at], rows.track[at] = 0.5, 0.7, 3
    return rows


def test_only_boxes_that_are_there_are_moved_and_nothing_else() -> None:
    """In whatever batches: up to rounding, with a lead-in before the rows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        refiner = Refiner(BoxNet())
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (9, HEIGHT, WIDTH, 3), dtype=np.uint8)
    names = "DETECTED MISSING TRACKED UNDECODABLE DOUBTFUL OUTSIDE"
    found = {
        "a": rows_of([FrameStatus[name] for name in names.split()]),
        "b": rows_of([FrameStatus.FOLLOWED] * 6),
        "c": rows_of([FrameStatus.MISSING] * 6),
    }
    with torch.inference_mode(), on_device(frames, CPU) as shown:
        exact, again = (refiner.exact_in(found, shown, 3, Batches(size)) for size in (2, 64))
        alone = refiner.exact(torch.from_numpy(frames[5:6]), torch.tensor([BOXES[0]]), [0])
    for who, rows in found.items():
        there = np.isin(rows.status, HAS_BOX)
        assert (
            np.isnan(exact[who].box[~there]).all() and (np.isnan(rows.box) == np.isnan(exact[who].box)).all()
        )
        assert (np.abs(exact[who].box - rows.box)[there].max(1) > 1e-3).all()
        np.testing.assert_allclose(exact[who].box, again[who].box, atol=1e-5)
        for name in ("score", "sure", "candidates", "status", "track"):
            np.testing.assert_array_equal(getattr(exact[who], name), getattr(rows, name))
    np.testing.assert_allclose(exact["a"].box[2], alone[0].numpy(), atol=1e-5)
    with torch.inference_mode(), on_device(frames, CPU) as shown:
        assert refiner.exact_in({}, shown, 0, Batches(2)) == {}


def test_a_box_that_would_be_none_stays_as_it_was() -> None:
    refiner = Refiner(BoxNet())
    for parameter in refiner.net.parameters():
        parameter.data.zero_()  # each side in the middle of the cut-out: a box without an area
    boxes = torch.tensor(BOXES)
    with torch.inference_mode():
        exact = refiner.exact(painted(BOXES[0]), boxes, [0] * len(BOXES))
    torch.testing.assert_close(exact, boxes)


def test_the_shipped_net_makes_boxes_exact_in_movies_it_has_not_seen() -> None:
    """Boxes that are off as tracked ones are, and worse; truth is the made world's."""
    scenes, rng = draw_scenes(3, 0, 40, stream=HELD_OUT)
    who = [(n, p) for n, scene in enumerate(scenes) for p in np.flatnonzero(scene.visible)]
    true = np.array([scenes[n].boxes[p] for n, p in who], np.float32)
    given = np.array([off(rng, box) for box in true], np.float32)
    refiner = load_refiner("shipped:mini")
    frames = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    with torch.inference_mode():
        exact = refiner.exact(frames, torch.from_numpy(given), [n for n, _ in who]).numpy()
    before, now = overlap(given, true), overlap(exact, true)
    assert len(true) > 60 and before.mean() < 0.78 and now.mean() > 0.88
    assert (now > before).mean() > 0.85
    np.testing.assert_allclose(iou(torch.from_numpy(exact), torch.from_numpy(true)).numpy(), now, atol=1e-6)


def test_a_net_that_is_not_there_is_named(tmp_path: Path) -> None:
    refine = str(tmp_path / "net")
    config = ExtractConfig(detector=DetectorConfig(refine=refine, weights="random:tiny"))
    for look in (lambda: load_refiner(refine), lambda: check_places(config)):
        with pytest.raises(InputError, match=r"detector\.refine") as caught:
            look()
        assert refine in str(caught.value)
    (tmp_path / "net").mkdir()
    save_file({"other": torch.zeros(1)}, tmp_path / "net" / "model.safetensors")
    with pytest.raises(InputError, match=r"detector\.refine"):
        load_refiner(refine)


def test_what_the_other_models_compute_in_changes_nothing() -> None:
    refiner, boxes = load_refiner("shipped:mini"), torch.tensor(BOXES)
    frame = painted(BOXES[0])
    with torch.inference_mode():
        expected = refiner.exact(frame, boxes, [0] * len(BOXES))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(refiner.exact(frame, boxes, [0] * len(BOXES)), expected)


def test_a_pointer_in_the_place_of_a_net_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    config = ExtractConfig(detector=DetectorConfig(refine=str(tmp_path), weights="random:tiny"))
    with pytest.raises(InputError, match="git lfs pull"):
        check_places(config)
    with pytest.raises(InputError, match=r"detector\.refine.*shipped:mini"):
        load_refiner("shipped:other")


def test_known_boxes_are_not_made_exact() -> None:
    with pytest.raises(InputError, match=r"detector\.refine"):
        load_config(
            "mini",
            ["detector.implementation=boxes", "tracks.implementation=frames", "detector.weights=b.csv"],
        )
