"""`rhas benchmark --task anticipation`: one table of what comes next, made again only where it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tiny_config import TINY
from toy_segmenter import toy_features

from rhas.manifests.common.errors import InputError
from rhas.pipeline.programs.benchmark import run_benchmark
from rhas.train.benchmark.anticipation import gather_anticipation
from rhas.train.benchmark.plan import load_systems, trials
from rhas.train.config import load_config
from rhas.train.metrics.anticipation import AHEAD, OBSERVED
from rhas.train.models.registry import anticipates, model_names

SETTINGS = ["data.window=20", "data.split=random", "data.proportions=[6, 2, 2]", "batch=3", "epochs=1"]
SYSTEM = (
    "futr: {model: futr, set: [settings.network.width=8, settings.network.heads=2, settings.network.queries=3,"
    " settings.network.positions=30]}"
)


def test_one_command_makes_the_table(tmp_path: Path) -> None:
    (tmp_path / "systems.yaml").write_text(SYSTEM)
    features, out = toy_features(tmp_path / "features"), tmp_path / "out"

    def benchmark(task: str) -> int:
        preset = str(tmp_path / "systems.yaml")
        return run_benchmark(features, out, [], preset, TINY, SETTINGS, 1, (), task)  # type: ignore[arg-type]

    assert benchmark("segmentation") == 0 and not (out / "anticipation.md").exists()
    run = out / "runs" / "futr-seed0"
    weights = (run / "checkpoints" / "best.safetensors").stat().st_mtime_ns
    assert benchmark("anticipation") == 0
    assert (
        run / "checkpoints" / "best.safetensors"
    ).stat().st_mtime_ns == weights  # nothing is trained again
    assert json.loads((run / "metrics.json").read_text())["test"]["evaluations"] == 1
    measured = json.loads((run / "anticipation.json").read_text())["mean over classes"]
    table = pd.read_csv(out / "anticipation.csv")
    assert len(table) == 4 * len(OBSERVED) * len(AHEAD)
    for _, row in table.iterrows():
        name = row["system"] if pd.isna(row["protocol"]) else row["protocol"]
        expected = measured[name][f"{row['observed']:g}"][f"{row['ahead']:g}"]
        assert (
            row["accuracy"] == pytest.approx(expected) if expected is not None else pd.isna(row["accuracy"])
        )
    markdown = (out / "anticipation.md").read_text()
    assert markdown.count("| futr | 1 |") == markdown.count("| last seen goes on | 1 |") == 2


def test_baselines_of_a_seed_count_once(tmp_path: Path) -> None:
    planned = trials(load_systems("anticipation"), load_config("hopadiff"), [], 2, tmp_path)
    for number, trial in enumerate(planned):
        trial.folder.root.mkdir(parents=True)
        rows = {"0.2": {"0.1": 10.0 * number, "0.2": None}}
        baseline = {"0.2": {"0.1": 7.0 + trial.seed, "0.2": None}}
        content = {"mean over classes": {"true length": rows, "constant": baseline}}
        trial.folder.anticipation.write_text(json.dumps(content))
    table = gather_anticipation(planned)
    own = table[(table["ahead"] == 0.1) & (table["system"] == "futr")]
    assert own["accuracy"].tolist() == [10.0, 30.0] and own["protocol"].unique().tolist() == ["true length"]
    assert table[table["system"] == "constant"]["accuracy"].dropna().tolist() == [7.0, 8.0]


def test_what_does_not_anticipate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column mstcn: got 'mstcn': expected a model that anticipates"):
        run_benchmark(tmp_path, tmp_path / "out", ["futr", "mstcn"], None, TINY, [], 1, (), "anticipation")
    assert not (tmp_path / "out").exists()


def test_no_model_is_left_out_of_the_field() -> None:
    """Each shipped model is in the table of segmenters or in that of what comes next."""
    field, ahead = ({system.model for system in load_systems(name)} for name in ("field", "anticipation"))
    assert {name for name in model_names() if name != "toy"} == field | ahead
    assert ahead == {name for name in field | ahead if anticipates(name)}
