"""A window on a device that isn't there: everything on the right side, and where the device is waited for.

CLIP and BLIP-2 have small random weights, the detector is a sketch of one, as GroundingDINO's code asks its device many
times. Features are those of a CPU.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
import torch
from pretend_gpu import PretendGpu
from torch import nn

from rhas.extract.config import load_config
from rhas.extract.decode.on_device import OnDevice, on_device, together
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode import load_encoder
from rhas.extract.encode.windows import OnePass
from rhas.extract.ground import load_detector
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.text import Caption
from rhas.extract.refine.net import BoxNet
from rhas.extract.refine.refiner import Refiner
from rhas.manifests.shards.format import SERIES
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

FRAMES = 5
PERSONS = [Person("m", "a", "the man"), Person("m", "b", "the woman in red")]


class Backbone(nn.Module):
    def forward(self, pixels_B3HW: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [pixels_B3HW[:, :, ::24, ::20].flatten(1)], [pixels_B3HW[:, :1, :1, :1]]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.text = Backbone(), nn.Embedding(1280, 8)
        self.boxes, self.queries = nn.Linear(3 * 4 * 8, 16 * 4), nn.Linear(3 * 4 * 8, 16 * 8)


class Sketch(Detector):
    """Sixteen boxes and how well words go with them, by a product each."""

    backbone = property(lambda self: self.model.backbone)
    text_encoder = property(lambda self: self.model.text)
    queries, strides = 16, (8, 16)

    def forward(self, pixels_B3HW: torch.Tensor, caption: Caption) -> tuple[torch.Tensor, torch.Tensor]:
        (features_BF,), _ = self.backbone(pixels_B3HW)
        ids_T = torch.tensor(caption.input_ids).to(pixels_B3HW.device, non_blocking=True)
        text_TD = nn.functional.embedding(ids_T, self.model.text.weight)
        queries_BQD = self.model.queries(features_BF).unflatten(1, (16, 8))
        return queries_BQD @ text_TD.T, self.model.boxes(features_BF).unflatten(1, (16, 4)).sigmoid()


def window() -> tuple[WindowFrames, list[np.ndarray]]:
    pixels = np.random.default_rng(0).integers(0, 256, (FRAMES, 96, 160, 3), dtype=np.uint8)
    ok = np.arange(FRAMES) != 3
    inside = [np.ones(FRAMES, bool), np.arange(FRAMES) < 4]
    return WindowFrames(Frames(pixels, ok, "", False, 0), 0), inside


def off_net() -> BoxNet:
    """With weights that are not the shipped ones, so that sides are moved by much."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BoxNet()


@pytest.mark.parametrize(("kind", "refined"), [("clip", False), ("blip2", False), ("clip", True)])
def test_a_window_waits_for_its_boxes_and_for_its_features(kind: str, refined: bool) -> None:
    config = load_config("tiny-random", [f"encoder.kind={kind}", "detector.follow_frames=0"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector = Sketch(config.detector, Model(), load_detector(config.detector).captioner)
    own = detector, load_encoder(config.encoder), config
    refiner = Refiner(off_net()) if refined else None
    frames, inside = window()
    expected, _ = OnePass(*own, torch.device("cpu"), 2, refiner).process(frames, PERSONS, inside)
    gpu = PretendGpu("cuda")
    with gpu, mock.patch("torch.inference_mode", torch.no_grad):
        for model in own[:2]:
            model.to(gpu.device)
        if refiner is not None:
            refiner.to(gpu.device)
        gpu.counts.clear()
        found, _ = OnePass(*own, gpu.device, 2, refiner).process(frames, PERSONS, inside)
    for person in PERSONS:
        for name in SERIES:
            one, other = (getattr(rows[person.person_id], name) for rows in (found, expected))
            np.testing.assert_allclose(
                one.astype(np.float64), other.astype(np.float64), atol=5e-3, equal_nan=True, err_msg=name
            )
    assert sum((rows.status == FrameStatus.DETECTED).sum() for rows in found.values()) >= 4  # there are crops
    # Boxes are given out on the CPU, so they are read once, once more where they are made exact, and features once.
    # Nothing else waits.
    assert gpu.counts.reads.total() == 2 + refined and not gpu.counts.uploads, gpu.counts.places()
    assert {place.split(":")[0] for _, place in gpu.counts.reads} == {"decode/on_device.py"}


class Beside:
    """A stream that keeps account of what is asked of it, in the order that it came."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def pinned(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8)

    def open(self, target: torch.Tensor) -> None:
        self.said.append("open")

    def on(self) -> nullcontext[None]:
        return nullcontext()

    def mark(self) -> int:
        self.said.append("copied")
        return self.said.count("copied") - 1

    def wait(self, mark: int) -> None:
        self.said.append(mark)


def test_pieces_are_copied_once_and_waited_for_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = window()[0].frames.pixels
    monkeypatch.setattr("rhas.extract.decode.on_device.PIECE_BYTES", 2 * pixels[0].nbytes)
    lane = Beside()
    pixels.flags.writeable = False  # as what comes from shared memory
    with torch.inference_mode(), ThreadPoolExecutor(1) as thread:
        frames = OnDevice(pixels, torch.device("cpu"), torch.zeros(pixels.shape, dtype=torch.uint8))
        frames.bring(lane, thread)
        for rows, pieces in (([0, 1], [0]), ([1, 2, 3], [0, 1]), ([4], [2]), ([4, 0], [0, 2]), ([], [])):
            before = [mark for mark in lane.said if isinstance(mark, int)]
            np.testing.assert_array_equal(frames.at(np.array(rows, np.int64)).numpy(), pixels[rows])
            assert [mark for mark in lane.said if isinstance(mark, int)][len(before) :] == pieces
    assert lane.said[0] == "open" and lane.said.count("copied") == 3


def test_on_a_cpu_nothing_is_brought() -> None:
    pixels = window()[0].frames.pixels
    with on_device(pixels, torch.device("cpu"), Beside()) as frames:
        assert frames.there is None
        np.testing.assert_array_equal(frames.at(np.array([3, 1])).numpy(), pixels[[3, 1]])


def test_a_piece_that_fails_fails_who_needs_it() -> None:
    pixels = window()[0].frames.pixels
    lane = Beside()
    lane.pinned = mock.Mock(side_effect=torch.OutOfMemoryError("no page-locked memory"))  # type: ignore[method-assign]
    frames = OnDevice(pixels, torch.device("cpu"), torch.zeros(pixels.shape, dtype=torch.uint8))
    with ThreadPoolExecutor(1) as thread:
        frames.bring(lane, thread)
        with pytest.raises(torch.OutOfMemoryError):
            frames.at(np.array([0]))


def test_tensors_come_together_as_they_were() -> None:
    made = [torch.randn(2, 3), torch.randn(0, 4), torch.randn(5)]
    gpu = PretendGpu("cuda")
    with gpu:
        there = [x.to(gpu.device, non_blocking=True) for x in made]
        gpu.counts.clear()
        found = together(there)
    assert gpu.counts.reads.total() == 1 and all(map(torch.equal, found, made))
    assert together([]) == [] and together(made) is made
