"""Anticipation with a run: both protocols measured, segments of the time ahead, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from toy_segmenter import toy_config, toy_features

from rhas.manifests.common.errors import InputError
from rhas.train.evaluation.anticipation import evaluate_anticipation
from rhas.train.fitting.training import train
from rhas.train.scoring.anticipation import anticipate_run

SETTINGS = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "diffusion": {"sampling_steps": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(features, run) of an ActFusion that sees every second frame."""
    root = tmp_path_factory.mktemp("made")
    toy_features(root / "features")
    config = toy_config(
        "data.sample_rate=2", "data.window=20", model="actfusion", settings=SETTINGS, epochs=2
    )
    train(root / "features", root / "run", config, "cpu")
    return root / "features", root / "run"


def test_both_protocols_and_the_baselines_are_measured(made: tuple[Path, Path]) -> None:
    result = evaluate_anticipation(made[1], "test", device="cpu")
    tables = result["mean over classes"]
    assert list(tables) == ["true length", "honest length", "constant", "last seen goes on"]
    for rows in tables.values():
        assert list(rows) == ["0.2", "0.3"] and list(rows["0.2"]) == ["0.1", "0.2", "0.3", "0.5"]
        assert all(value is None or 0 <= value <= 100 for row in rows.values() for value in row.values())
    # At α = .2 the honest length is the true one: 1 + 4 times what was seen.
    assert tables["true length"]["0.2"] == tables["honest length"]["0.2"]
    assert json.loads((made[1] / "anticipation.json").read_text()) == result
    assert "| honest length |" in (made[1] / "anticipation.md").read_text()
    assert evaluate_anticipation(made[1], "test", device="cpu") == result


def test_segments_lie_ahead(made: tuple[Path, Path], tmp_path: Path) -> None:
    segments = anticipate_run(made[1], made[0], tmp_path, 2.5, "cpu")
    with (tmp_path / "anticipated.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(segments) > 0
    ends = {"a": 4.0, "b": 3.0}  # of the first movie, whose 40 frames are .1 s each; b leaves at 3 s
    for segment in (segment for segment in segments if segment.movie_id == "m0"):
        end = ends[segment.person_id]
        assert end - 1e-6 <= segment.start_s < segment.end_s <= end + 2.5 + 1e-6


def test_what_can_not_be_anticipated_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    features, run = made
    with pytest.raises(InputError, match="--anticipate: got 0: expected seconds above 0"):
        anticipate_run(run, features, tmp_path, 0, "cpu")
    with pytest.raises(InputError, match="--split"):
        evaluate_anticipation(run, "all", device="cpu")
    train(features, tmp_path / "toy", toy_config(epochs=1), "cpu")
    with pytest.raises(InputError, match="got 'toy': expected a run of a model that anticipates"):
        evaluate_anticipation(tmp_path / "toy", device="cpu")
