"""`rhas eval --task anticipation` and `rhas predict --anticipate`, as a user gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_segmenter import toy_features
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.pipeline.cli import app
from rhas.pipeline.programs.training import seconds_of

SETTINGS = (
    "settings.encoder.layers=2", "settings.encoder.width=8", "settings.encoder.condition_layers=[0, 1]",
    "settings.decoder.layers=2", "settings.decoder.width=8", "settings.diffusion.sampling_steps=2",
    "data.proportions=[6, 2, 2]", "epochs=1",
)  # fmt: skip


def rhas(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_is_measured_and_used_on_what_lies_ahead(tmp_path: Path) -> None:
    features, run = toy_features(tmp_path / "features"), tmp_path / "run"
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    rhas("train", "--shards", features, "--out", run, "--config", "actfusion", "--split", "random",
         "--window", 20, *settings)  # fmt: skip
    assert "| honest length |" in rhas("eval", "--run", run, "--task", "anticipation")
    said = rhas(
        "predict", "--run", run, "--shards", features, "--out", tmp_path / "out", "--anticipate", "3s"
    )
    assert "segments of the next 3 s in anticipated.csv" in said
    assert (tmp_path / "out" / "anticipated.csv").is_file() and (tmp_path / "out" / "segments.csv").is_file()


def test_lengths_of_time() -> None:
    assert [seconds_of(text, "--anticipate") for text in ("60s", "1.5min", " 7 ", "0.5")] == [60, 90, 7, 0.5]
    for text in ("", "s", "-3s", "1h", "1e3", "nan"):
        with pytest.raises(InputError, match="--anticipate"):
            seconds_of(text, "--anticipate")
