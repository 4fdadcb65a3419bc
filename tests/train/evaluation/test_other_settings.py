"""A run used with other sampling and smoothing: kept apart from its own numbers; what shapes weights is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import median_filter
from toy_segmenter import toy_config, toy_features

from rhas.manifests.common.errors import InputError
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import train
from rhas.train.runs.checkpoint import read_tensors
from rhas.train.runs.run import open_run
from rhas.train.scoring.prediction import predict_run

SETTINGS = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "diffusion": {"sampling_steps": 4},
}
STEPS = "settings.diffusion.sampling_steps=1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(features, run)."""
    root = tmp_path_factory.mktemp("made")
    config = toy_config("data.window=40", "epochs=1", model="actdiff", settings=SETTINGS)
    train(toy_features(root / "features"), root / "run", config, "cpu")
    evaluate_run(root / "run", "test", device="cpu")
    return root / "features", root / "run"


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(made[1], tmp_path / "run")


def test_numbers_of_other_settings_stand_apart(run: Path) -> None:
    before = json.loads((run / "metrics.json").read_text())
    pictures = {path: path.stat().st_mtime_ns for path in run.rglob("*.png")}
    other = evaluate_run(run, "test", device="cpu", overrides=[STEPS, "postprocess.median=5"])
    after = json.loads((run / "metrics.json").read_text())
    entry = "test with postprocess.median=5, settings.diffusion.sampling_steps=1"
    assert list(after) == [*before, entry] and {name: after[name] for name in before} == before
    assert after[entry]["settings"] == ["postprocess.median=5", STEPS]
    assert other["model"] != before["test"]["model"] and other["baselines"] == before["test"]["baselines"]
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.png")} == pictures
    text = (run / "results.md").read_text()
    assert f"## {entry}: " in text and f"here postprocess.median=5, {STEPS} took their place" in text
    with (run / "results.csv").open() as file:
        systems = {(row["split"], row["system"]) for row in csv.DictReader(file)}
    assert {("test", "model"), (entry, "model"), (entry, "prior")} <= systems
    again = evaluate_run(run, "test", device="cpu", overrides=["postprocess.median=5", STEPS])
    assert again["evaluations"] == 2 and again["model"] == other["model"]
    assert evaluate_run(run, "test", device="cpu")["model"] == before["test"]["model"]


def test_settings_as_they_are_change_nothing(run: Path) -> None:
    measured = evaluate_run(run, "test", device="cpu", overrides=["settings.diffusion.sampling_steps=4"])
    assert measured["evaluations"] == 2 and "settings" not in measured
    assert list(json.loads((run / "metrics.json").read_text())) == ["val", "test"]


def test_predictions_are_made_with_them(made: tuple[Path, Path], run: Path, tmp_path: Path) -> None:
    for name, overrides in {"own": (), "median": ["postprocess.median=5"], "steps": [STEPS]}.items():
        predict_run(run, made[0], tmp_path / name, device="cpu", overrides=overrides)
    own, smooth, quick = (
        read_tensors(tmp_path / name / "scores" / "m0" / "a.safetensors")[0]["scores"].numpy()
        for name in ("own", "median", "steps")
    )
    assert np.array_equal(smooth, median_filter(own, size=(5, 1), mode="nearest"))
    assert not np.array_equal(quick, own)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "optimiser.lr=0.1",
            r"--set, column optimiser\.lr: got '0\.1': expected one of settings\.diffusion\.",
        ),
        ("settings.diffusion.scale=1.0", r"column settings\.diffusion\.scale: got '1\.0': expected one of"),
        ("settings.encoder.width=16", r"column settings\.encoder\.width"),
        ("data.sample_rate=2", r"column data\.sample_rate"),
        ("postprocess.purge=3", r"--set, column postprocess\.purge: got 3: expected null"),
        ("settings.diffusion.sampling_steps=0", r"settings\.diffusion\.sampling_steps: got 0"),
        ("postprocess.mode=5", r"postprocess\.mode"),
        ("median", "section.key=value"),
    ],
)
def test_what_shaped_the_weights_is_refused(run: Path, setting: str, message: str) -> None:
    before = (run / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=message):
        evaluate_run(run, "test", device="cpu", overrides=[setting])
    assert (run / "metrics.json").read_bytes() == before


def test_precision_and_batch_are_taken(run: Path) -> None:
    opened = open_run(run, "cpu", ["precision=bfloat16", "batch=7"])
    assert (opened.config.precision, opened.config.batch) == ("bfloat16", 7)
    assert opened.changed == ("batch=7", "precision=bfloat16")
    assert open_run(run, "cpu", ["precision=auto"]).config.precision == "float32"
