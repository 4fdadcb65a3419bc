"""A small HopaDIFF learns two videos by heart; tests/learning has the default preset and all 137 classes."""

from __future__ import annotations

from pathlib import Path

from by_heart import noise_folder
from tiny_config import TINY

from rhas.train.config import load_config
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import train

# After 40 steps ACC 99.7 and macro F1@50 97.6; after 80, F1@50 and frame mAP 100 in validation. Without the condition's
# own way into the decoder it takes more than 200.
SETTINGS = (
    "data.split=manifest", "epochs=80", "validate_every=80", "settings.decoder.width=48",
    "settings.decoder.condition_input=true", "settings.losses.over_classes=sum", "settings.boundary.target=labels",
    "settings.boundary.weight=0.05", "settings.decoder.dropout=0", "settings.encoder.dropout=0",
    "settings.encoder.channel_dropout=0", "settings.encoder.temporal_dropout=0", "optimiser.lr=0.003",
)  # fmt: skip


def test_two_videos_are_learned_by_heart(tmp_path: Path) -> None:
    features = noise_folder(tmp_path / "features", classes=12, frames=160)
    train(features, tmp_path / "run", load_config(TINY, SETTINGS), "cpu")
    model = evaluate_run(tmp_path / "run", "test", device="cpu")["model"]
    assert model["acc"] >= 98 and model["chosen"]["f1_macro@50"] >= 95, model["chosen"]
