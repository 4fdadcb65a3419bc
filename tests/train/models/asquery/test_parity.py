"""ASQuery against its authors' released code, with padding that leaks as theirs does, and against its mended form."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import rhas
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary
from rhas.pipeline.cli import app
from rhas.train.models.asquery.config import ASQueryNetworkConfig, BoundaryTargetConfig, RefinementConfig
from rhas.train.models.asquery.losses import boundary_curve, boundary_loss, dice_loss, focal_loss
from rhas.train.models.asquery.model import ASQuery
from rhas.train.models.asquery.refinement import boundary_peaks, means_between, votes
from rhas.train.models.asquery.released import load_released, released_name

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
C, F, LENGTHS, PADDED = 6, 10, (75, 58), 96
NETWORK = {"width": 16, "heads": 2, "window": 5, "branch_dilations": [2, 4, 8]}
BOTH = pytest.mark.parametrize("name", ["asquery", "asquery_mended"])


def released_file(tensors: dict[str, Tensor], unused: list[str], path: Path) -> Path:
    """As the authors' training writes it: an average of the weights beside them, from a `DataParallel`."""
    state = {f"module.{k[6:]}": x for k, x in tensors.items() if k.startswith("param/")}
    state |= {f"module.{k}": torch.zeros(3) for k in unused}
    torch.save(
        {"epoch": 3, "state_dict": {k: x + 1 for k, x in state.items()}, "state_dict_ema": state}, path
    )
    return path


def same(ours: Tensor, theirs: Tensor) -> None:
    """To 1e-4 of the scale; the file goes on with padding."""
    theirs = theirs[..., : ours.shape[-1]] if ours.dim() else theirs
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


@BOTH
def test_parity_with_the_released_code(name: str, golden: Golden, tmp_path: Path) -> None:
    """Every scale, output and loss, all norms of the gradient, and the votes: two videos, each padded."""
    tensors, meta = golden(f"{name}.safetensors")
    leaks = PADDED if name == "asquery" else None
    model = ASQuery(F, C, ASQueryNetworkConfig(**NETWORK, released_padding=leaks))
    unused = meta["parameters_never_used"]
    assert load_released(model, released_file(tensors, unused, tmp_path / "max_acc.pth.tar")) == unused
    frames = leaks or LENGTHS[0]
    x, y, mask = (
        torch.zeros(2, F, frames),
        torch.zeros(2, C, frames),
        torch.zeros(2, frames, dtype=torch.bool),
    )
    for video, length in enumerate(LENGTHS):
        mask[video, :length] = True
        x[video, :, :length] = tensors[f"in/video{video}/features"].T
        actions, segments = tensors[f"in/video{video}/labels"], tensors[f"in/video{video}/segments"]
        for action, (first, last) in zip(actions.tolist(), segments.long().tolist(), strict=True):
            y[video, action, first : last + 1] = 1
    scales = model.backbone(x, mask)
    read, compared = model.pyramid(scales)
    for level, (scale, _) in enumerate(scales):
        same(scale, tensors[f"out/backbone{level}"])
    for level, (scale, _) in enumerate(read):
        same(scale, tensors[f"out/pyramid{level}"])
    same(compared, tensors["out/mask_features"])
    # Padded to where theirs is, or not at all.
    outputs = model(x[:, :, : LENGTHS[0]], mask[:, : LENGTHS[0]])
    mask, y = mask[:, : LENGTHS[0]], y[:, :, : LENGTHS[0]]
    for number, (classes, boundary) in enumerate(outputs):
        same(classes, tensors[f"out/masks{number}"])
        same(boundary, tensors[f"out/boundaries{number}"])
    curve = boundary_curve(y, mask, BoundaryTargetConfig(sigma=2, reach=4))
    each = [
        (focal_loss(c, y, mask, torch.ones(C), 0.25, 2.0), dice_loss(c, y, mask), boundary_loss(b, curve, mask))
        for c, b in outputs
    ]  # fmt: skip
    focal, dice, boundary = (torch.stack(losses).mean(0) for losses in zip(*each, strict=True))
    shares = torch.tensor(LENGTHS) / sum(LENGTHS)  # theirs is a mean over the frames of both
    losses = {"action_cls": (focal * shares).sum(), "action_mask": dice.mean(), "boundary": boundary.mean()}
    for loss, value in losses.items():
        same(value, tensors[f"out/{loss}_loss"])
    torch.stack([*losses.values()]).sum().backward()
    norms = {
        released_name(n): float(p.grad.norm()) for n, p in model.named_parameters() if p.grad is not None
    }
    del norms["decoder.prior_C"]  # is ours, and 0
    for kind, theirs in (("query", "query"), ("position", "query_pe")):
        parts = [
            norms.pop(f"decoder.{part}_{kind}_{shape}")
            for part, shape in (("class", "CD"), ("boundary", "1D"))
        ]
        norms[f"action_head.{theirs}.weight"] = math.hypot(*parts)
    expected = dict(zip(meta["grad_norm_parameters"], tensors["out/grad_norms"].tolist(), strict=True))
    assert norms == pytest.approx(expected, rel=1e-4, abs=1e-4 * max(expected.values()))
    last = outputs[-1]
    peaks = boundary_peaks(last.boundary_BT.sigmoid(), mask, RefinementConfig())
    voted = means_between(votes(last.classes_BCT.sigmoid()), peaks, mask).argmax(1)
    for video, length in enumerate(LENGTHS):
        assert torch.equal(voted[video, :length], tensors[f"out/video{video}/prediction"])
        ends = peaks[video].nonzero()[:, 0] + 1
        assert torch.equal(ends, tensors[f"out/video{video}/segments"][:-1, 1])


def test_a_released_file_becomes_a_run_that_votes_as_theirs(golden: Golden, tmp_path: Path) -> None:
    tensors, meta = golden("asquery.safetensors")
    checkpoint = released_file(tensors, meta["parameters_never_used"], tmp_path / "max_acc.pth.tar")
    write_vocabulary(Vocabulary(tuple("abcdef")), tmp_path / "actions.csv")
    command = ["import", "weights", checkpoint, "--config", "asquery-breakfast", "--out", tmp_path / "run",
               "--actions", tmp_path / "actions.csv", "--feature-size", F, "--device", "cpu"]  # fmt: skip
    for key, value in {**NETWORK, "released_padding": PADDED}.items():
        command += ["--set", f"settings.network.{key}={value}"]
    done = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert "126 tensors of it that nothing uses were left out" in done.output.replace("\n", "")
    run = rhas.load_run(tmp_path / "run", "cpu")
    assert run.data["imported"]["left_out"] == meta["parameters_never_used"]
    for video in range(2):
        scores = run.predict(tensors[f"in/video{video}/features"].numpy())
        assert scores.argmax(1).tolist() == tensors[f"out/video{video}/prediction"].tolist()
