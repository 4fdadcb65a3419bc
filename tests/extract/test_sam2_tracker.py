"""SAM 2 as a tracker: what transformers' own video session makes of the same frames and boxes; who begins a track."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rhas.extract.config import TracksConfig
from rhas.extract.tracks import sam2
from rhas.extract.tracks.outside import load
from rhas.extract.tracks.sam2 import Sam2Tracker, box_around
from rhas.extract.weights.torchvision_fix import ensure_importable
from rhas.manifests.common.errors import InputError

SIDE, HEIGHT, WIDTH, FRAMES = 64, 48, 80, 22  # more frames than it remembers
BOXES = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.6, 0.2, 0.9, 0.9]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of random weights, to which everybody is always there, saved as transformers saves it."""
    ensure_importable()
    from transformers import Sam2VideoConfig, Sam2VideoModel

    hiera = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 16, "num_attention_heads": 1, "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 1, 2, 4], "window_size_per_stage": [4, 2, 2, 2],
        "global_attention_blocks": [], "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config={
            "backbone_config": hiera, "backbone_channel_list": [128, 64, 32, 16], "fpn_hidden_size": 128,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=SIDE, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Sam2VideoModel(config).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=1.5 / parameter.shape[-1] ** 0.5)
        last = model.mask_decoder.pred_obj_score_head.proj_out
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, 3.0)
    folder = tmp_path_factory.mktemp("sam2")
    model.save_pretrained(folder)
    return folder


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
