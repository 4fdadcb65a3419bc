"""Golden files as a model with the released weights, and their videos as batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.data import Batch, Sample, collate
from rhas.train.models.fact.config import FACTConfig, MatchingConfig, NetworkConfig
from rhas.train.models.fact.released import load_released
from rhas.train.models.fact.segmenter import FACTSegmenter

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]


def network_of(meta: dict[str, Any]) -> NetworkConfig:
    """As the golden file's configuration says, without dropout."""
    fact, first, later = (meta["config"][part] for part in ("FACT", "Bi", "Bu"))
    return NetworkConfig(
        blocks=fact["block"], tokens=fact["ntoken"], width=first["hid_dim"], frame_branch=first["f"],
        frame_width=first["f_dim"], frame_layers=(first["f_layers"], later["f_layers"]),
        frame_norm=first["f_ln"], frame_positions=fact["fpos"], token_width=first["a_dim"],
        token_layers=first["a_layers"], heads=first["a_nhead"], feedforward=first["a_ffdim"], dropout=0,
        channel_dropout=0,
    )  # fmt: skip


@pytest.fixture
def released(
    golden: Golden, tmp_path: Path
) -> Callable[[str], tuple[FACTSegmenter, dict[str, Tensor], Batch]]:
    """A golden file's model, its tensors, and its videos as a batch, of which the shorter is padded."""

    def build(name: str) -> tuple[FACTSegmenter, dict[str, Tensor], Batch]:
        tensors, meta = golden(f"{name}.safetensors")
        loss = meta["config"]["Loss"]
        config = FACTConfig(
            link="softmax", stream="holistic", network=network_of(meta),
            matching=MatchingConfig(kind=loss["match"], classes=loss["pc"], overlap=float(loss["a2fc"])),
        )  # fmt: skip
        config = config.replace(losses=config.losses.replace(null=meta["null_weight"]))
        model = FACTSegmenter(meta["in_dim"], meta["classes"], config)
        path = tmp_path / "release.net"
        state = {k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}
        torch.save({**state, "frame_pe.pe": torch.zeros(5000, 1, 24)}, path)
        load_released(model.fact, path)
        model.class_weight_C[meta["background"]] = loss["bgw"]
        samples = [sample_of(tensors, video, meta["classes"]) for video in (0, 1)]
        return model.eval(), tensors, collate(samples)

    return build


def sample_of(tensors: dict[str, Tensor], video: int, classes: int) -> Sample:
    """All of whose frames count."""
    features, labels = tensors[f"in/video{video}/features"], tensors[f"in/video{video}/labels"]
    real = torch.ones(len(labels), dtype=torch.bool)
    return Sample(
        name=f"m/p/{video}", holistic=features, partial=torch.zeros_like(features), has_holistic=real,
        has_partial=~real, labels=F.one_hot(labels, classes).bool(), valid=real, boundary=None, soft_labels=None,
    )  # fmt: skip
