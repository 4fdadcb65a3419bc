"""SAM 2 as a tracker: what transformers' own video session makes of the same frames and boxes; who begins a track."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extractions import problems
from small_sam2 import SIDE, write_small_sam2
from typer.testing import CliRunner

from rhas.extract.config import TracksConfig
from rhas.extract.tracks import sam2
from rhas.extract.tracks.outside import load
from rhas.extract.tracks.sam2 import Sam2Tracker, box_around
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.cli import app
from rhas.pipeline.world.writing import World, write_world

HEIGHT, WIDTH, FRAMES = 48, 80, 22  # more frames than it remembers
BOXES = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.6, 0.2, 0.9, 0.9]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_sam2(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="module")
def tracker(weights: Path) -> Sam2Tracker:
    return Sam2Tracker(TracksConfig(implementation="sam2", weights=str(weights)))


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (FRAMES, HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=generator)


def their_session(frames: torch.Tensor) -> tuple[Any, Any]:
    """transformers' own processor, and its session for a video."""
    from transformers import Sam2ImageProcessorFast, Sam2VideoProcessor, Sam2VideoVideoProcessor

    size = {"height": SIDE, "width": SIDE}
    images, videos = Sam2ImageProcessorFast(size=size), Sam2VideoVideoProcessor(size=size)
    processor = Sam2VideoProcessor(image_processor=images, video_processor=videos, target_size=SIDE)
    return processor, processor.init_video_session(video=frames.numpy(), inference_device="cpu")


@torch.inference_mode()
def test_masks_are_those_of_transformers_own_session(
    tracker: Sam2Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large as the model's images: large random weights would make much of how resizing rounds.
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 255, (FRAMES, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    masks: list[torch.Tensor] = []
    monkeypatch.setattr(sam2, "box_around", lambda mask_hw: masks.append(mask_hw) or box_around(mask_hw))
    tracks = tracker.track(frames, {0: BOXES})
    processor, session = their_session(frames)
    processor.add_inputs_to_inference_session(
        session, frame_idx=0, obj_ids=[0, 1], input_boxes=[(BOXES * SIDE).tolist()]
    )
    theirs = [own.pred_masks[:, 0] > 0 for own in tracker.model.propagate_in_video_iterator(session, 0)]
    assert len(masks) == 2 * FRAMES
    same = (torch.stack(masks).unflatten(0, (FRAMES, 2)) == torch.stack(theirs)).float().mean((2, 3))
    assert same.min() > 0.99 and 0.05 < torch.stack(theirs).float().mean() < 0.95
    scores = np.concatenate([track.score for track in tracks])
    assert np.isfinite(scores).any() and np.allclose(scores[np.isfinite(scores)], 1 / (1 + np.exp(-3)))


def test_pictures_are_as_its_processor_makes_them(frames: torch.Tensor) -> None:
    _, session = their_session(frames)
    own = sam2._Frames(frames, SIDE, torch.device("cpu"))
    assert len(own) == session.num_frames == FRAMES
    for row in (0, FRAMES - 1):  # theirs is rounded to 8 bits before it is normalised
        torch.testing.assert_close(own[row], session.get_frame(row), rtol=0, atol=1 / 255 / 0.22)


@torch.inference_mode()
def test_it_remembers_no_more_of_a_long_window_than_the_model_asks_for(
    tracker: Sam2Tracker, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    forget = tracker._forget

    def forgetting(session: Any, row: int) -> None:
        forget(session, row)
        kept.append(len(session.output_dict_per_obj[0]["non_cond_frame_outputs"]))

    monkeypatch.setattr(tracker, "_forget", forgetting)
    tracker.track(frames, {0: BOXES[:1]})
    assert (
        len(kept) == FRAMES and max(kept) == kept[-1] == tracker.model.config.max_object_pointers_in_encoder
    )


@torch.inference_mode()
def test_who_is_seen_where_nobody_is_followed_begins_a_track(
    tracker: Sam2Tracker, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = np.array([0.1, 0.2, 0.4, 0.9], np.float32)
    monkeypatch.setattr(sam2, "box_around", lambda mask_hw: followed)
    left, right = BOXES
    nearly = left + torch.tensor([0.03, 0.0, 0.03, 0.0])
    assert len(tracker.track(frames[:5], {1: torch.stack([left, nearly]), 3: nearly[None]})) == 1
    tracks = tracker.track(frames[:5], {1: left[None], 3: torch.stack([nearly, right])})
    assert [np.isfinite(track.score).tolist() for track in tracks] == [
        [False] + [True] * 4,
        [False] * 3 + [True] * 2,
    ]


def test_the_box_around_a_mask() -> None:
    mask = torch.zeros(10, 20, dtype=torch.bool)
    assert box_around(mask) is None
    mask[2:5, 8] = mask[3, 8:12] = True
    assert box_around(mask).tolist() == pytest.approx([8 / 20, 2 / 10, 12 / 20, 5 / 10])  # type: ignore[union-attr]


def test_it_is_an_entry_point_and_known_by_its_weights(weights: Path, tracker: Sam2Tracker) -> None:
    loaded = load(TracksConfig(implementation="sam2", weights=str(weights)))
    assert isinstance(loaded, Sam2Tracker) and loaded.weights_hash == tracker.weights_hash
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        (track,) = loaded.track(torch.full((4, 32, 32, 3), 90, dtype=torch.uint8), {0: BOXES[:1]})
    assert track.box.dtype == np.float32


def test_what_is_no_sam2_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a directory or hub id of SAM 2's weights"):
        load(TracksConfig(implementation="sam2"))
    text = (weights / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("Sam2VideoModel", "CLIPModel"))
    with pytest.raises(InputError, match="a checkpoint of Sam2VideoModel"):
        load(TracksConfig(implementation="sam2", weights=str(tmp_path)))


def test_the_command_tracks_by_it(weights: Path, tmp_path: Path) -> None:
    """Between looks boxes are its own, and the tracker is among the models that the features are known by."""
    manifest = write_world(tmp_path / "movies", World(movies=1, seed=7, shortest_s=3, longest_s=4))
    settings = ["tracks.implementation=sam2", f"tracks.weights={weights}", "encoder.crop_every=2"]
    arguments = ["extract", "--movies", manifest, "--out", tmp_path / "f", "--preset", "mini"]
    arguments += [part for setting in settings for part in ("--set", setting)]
    done = CliRunner().invoke(app, [*map(str, arguments), "--no-speed-check"])
    assert done.exit_code == 0, done.output
    assert problems(tmp_path / "f") == []
    record = json.loads((tmp_path / "f" / "config.json").read_text())
    assert record["models"]["tracker"]["name"] == str(weights) and record["models"]["tracker"]["hash"]
    statuses = np.concatenate([own.status for own in FeaturesReader(tmp_path / "f").persons()])
    assert (statuses == FrameStatus.TRACKED).any()
