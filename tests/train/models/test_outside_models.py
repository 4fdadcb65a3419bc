"""A model from another package: found by its entry point, trained by the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from outside_package import install
from toy_segmenter import toy_features

MODEL = """
from toy_segmenter import Toy, ToyConfig
from rhas.train.models.registry import register

register("outside", ToyConfig, Toy)
"""


def train(features: Path, run: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    settings = ["data.split=random", "epochs=1", "data.window=10", "settings.bias=false"]
    command = [
        str(Path(sys.executable).with_name("rhas")),
        "train",
        "--shards",
        str(features),
        "--out",
        str(run),
        "--model",
        "outside",
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_model_of_another_package_is_trained_by_the_command(tmp_path: Path) -> None:
    features = toy_features(tmp_path / "features")
    done = train(features, tmp_path / "run", install(tmp_path / "site", "outside_model", MODEL))
    assert done.returncode == 0, done.stderr
    assert "model: outside" in (tmp_path / "run" / "config.yaml").read_text()
    refused = train(features, tmp_path / "other", dict(os.environ))
    assert refused.returncode == 2 and "--model: got 'outside': expected one of actdiff" in refused.stderr


def test_a_package_that_can_not_be_imported_is_named(tmp_path: Path) -> None:
    features = toy_features(tmp_path / "features")
    done = train(
        features, tmp_path / "run", install(tmp_path / "site", "outside_model", "import nothing_of_this_name")
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "entry point rhas.models of elsewhere: got 'outside_model'" in done.stderr
