"""RefAtomNet against its authors' released code, and against that code mended as their paper describes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import rhas
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary
from rhas.pipeline.cli import app
from rhas.train.models.refatomnet.clips import ClipNet, ClipNetConfig, Clips, detections
from rhas.train.models.refatomnet.config import NetworkConfig
from rhas.train.models.refatomnet.released import load_released, released_name

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
STREAMS = {"sentence": "text", "location": "location", "visual": "visual"}


def released_file(tensors: dict[str, Tensor], path: Path) -> Path:
    """As the authors' training writes it, with what it trains nothing of."""
    state = {k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}
    frozen = {
        "model.query_tokens": torch.zeros(1, 32, 8),
        "detection_model.class_embed.bias": torch.zeros(92),
    }
    torch.save({f"module.{k}": x for k, x in {**state, **frozen}.items()}, path)
    return path


def same(ours: Tensor, theirs: Tensor, what: str) -> None:
    """To 1e-4 of the scale."""
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * scale, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize("released", [False, True])
def test_parity(released: bool, golden: Golden, tmp_path: Path) -> None:
    """Every stream, the heads and losses, all norms of the gradient, and which actions are found."""
    name = "released" if released else "mended"
    tensors, meta = golden(f"refatomnet_{name}.safetensors")
    network = NetworkConfig(agents=meta["agents"], head=(16, 12), released=released)
    weights = {"classes_weight": 5.0, "box_weight": 1.0} if released else {}
    config = ClipNetConfig(network=network, box_head=(16, 8), **weights)
    model = ClipNet(
        meta["tokens"], meta["queries"], tensors["in/category_embeddings"], meta["classes"], config
    )
    left_out = load_released(model, released_file(tensors, tmp_path / "pytorch_model.bin"))
    assert left_out == ["model.query_tokens", "detection_model.class_embed.bias"]
    boxes, categories = detections(tensors["in/detector_logits"], tensors["in/detector_boxes"], released)
    clips = Clips(tensors["in/image_tokens"].mean(1), tensors["in/text_tokens"].mean(1), boxes, categories)
    found = model.eval()(clips)
    for ours, theirs in STREAMS.items():
        looked = found.joined.streams[ours]
        same(looked.tokens_BND, tensors[f"out/{theirs}/tokens"], theirs)
        same(looked.attended_BND, tensors[f"out/{theirs}/attended"], theirs)
        same(looked.agents_BAD, tensors[f"out/{theirs}/agents"], theirs)
        if theirs != "visual":
            same(looked.maps_BAN, tensors[f"out/{theirs}/agent_attention"], theirs)
    same(model.refatomnet.sentence(clips.sentence_BD), tensors["out/text_tokens"], "text tokens")
    same(found.joined.fused_BD, tensors["out/fused"], "fused")
    same(found.logits_BC, tensors["out/action_logits"], "classes")
    assert torch.equal(found.logits_BC > 0, tensors["out/action_logits"] > 0)
    assert torch.equal(found.logits_BC.argsort(1), tensors["out/action_logits"].argsort(1))
    same(found.box_B4, tensors["out/box"], "box")
    losses = model.losses(found, tensors["in/actions"], tensors["in/box"])
    same(losses["classes"] / config.classes_weight, tensors["out/loss_actions"], "classes' loss")
    same(losses["box"] / config.box_weight, tensors["out/loss_box"], "box's loss")
    alone = model.refatomnet.blocks["visual"](clips.visual_BND)  # its map, before the others weigh it
    same(alone.maps_BAN, tensors["out/visual/agent_attention"], "visual")
    total = losses["classes"] + losses["box"]
    same(total, tensors["out/loss"], "loss")
    total.backward()
    norms = {
        released_name(n): float(p.grad.norm()) for n, p in model.named_parameters() if p.grad is not None
    }
    expected = dict(zip(meta["grad_norm_parameters"], tensors["out/grad_norms"].tolist(), strict=True))
    assert norms == pytest.approx(
        {n: v for n, v in expected.items() if n not in meta["parameters_without_gradient"]},
        rel=1e-4,
        abs=1e-4 * max(expected.values()),
    )


def test_a_released_file_becomes_a_run(golden: Golden, tmp_path: Path) -> None:
    """Of frames: what is of detections and of the box is left out, and the rest is the file's."""
    tensors, meta = golden("refatomnet_released.safetensors")
    checkpoint = released_file(tensors, tmp_path / "pytorch_model.bin")
    actions = tuple(f"action {c}" for c in range(meta["classes"]))
    write_vocabulary(Vocabulary(actions), tmp_path / "actions.csv")
    command = ["import", "weights", checkpoint, "--config", "refatomnet", "--out", tmp_path / "run",
               "--actions", tmp_path / "actions.csv", "--feature-size", meta["width"], "--device", "cpu",
               "--set", "settings.network.head=[16, 12]"]  # fmt: skip
    done = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert "10 tensors of it that nothing uses were left out" in done.output.replace("\n", "")
    run = rhas.load_run(tmp_path / "run", "cpu")
    assert set(run.data["imported"]["left_out"]) == {
        "model.query_tokens", "detection_model.class_embed.bias", "proj_box.weight", "proj_box.bias",
        *(f"bbox_regressio_head.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")),
    }  # fmt: skip
    for ours, tensor in run.model.state_dict().items():
        if ours not in ("absent_ND", "class_weight_C"):
            assert torch.equal(tensor, tensors[f"param/{released_name(ours)}"]), ours
    whole = torch.randn(5, meta["tokens"], meta["width"], generator=torch.Generator().manual_seed(0)).numpy()
    boxes = np.tile(np.array([[0.1, 0.2, 0.5, 0.9, 1.0]], np.float32), (5, 1))
    scores = run.predict(whole, whole, boxes=boxes, sentence=np.ones(meta["width"], np.float32))
    assert scores.shape == (5, meta["classes"]) and scores.std(0).min() > 0
