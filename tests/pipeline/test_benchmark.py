"""`rhas benchmark`: tables of several systems and seeds, failures recorded, and going on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from toy_segmenter import toy_features

from manifests.errors import InputError
from pipeline.benchmark import run_benchmark
from train.benchmark import METRICS, gather, load_systems, systems_of, trials
from train.config import load_config

SMALL = [
    "data.window=10", "data.split=random", "epochs=1", "settings.encoder.layers=2", "settings.encoder.width=8",
    "settings.encoder.condition_layers=[0, 1]", "settings.decoder.layers=1", "settings.diffusion.sampling_steps=1",
]  # fmt: skip
SYSTEMS = """
holistic: {model: actdiff, set: [settings.stream=holistic]}
windows: {model: ltcontext, set: [settings.network.layers=1, settings.network.stages=2]}
broken: {model: actdiff, set: [optimiser.lr=1.0e+30, optimiser.clip_norm=null]}
"""


def test_systems_and_seeds_make_one_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    features, out, preset = toy_features(tmp_path / "features"), tmp_path / "bench", tmp_path / "systems.yaml"
    preset.write_text(SYSTEMS)

    def benchmark() -> int:
        return run_benchmark(features, out, [], str(preset), "small", SMALL, 2)

    assert benchmark() == 3
    runs = pd.read_csv(out / "runs.csv")
    assert list(zip(runs["system"], runs["seed"], strict=True)) == [
        (name, seed) for seed in (0, 1) for name in ("holistic", "windows", "broken")
    ]
    assert (runs["status"] == "done").tolist() == [True, True, False] * 2
    assert runs["status"][2].startswith("failed: ")
    for _, run in runs[runs["status"] == "done"].iterrows():
        folder = out / "runs" / f"{run['system']}-seed{run['seed']}"
        measured = json.loads((folder / "metrics.json").read_text())["test"]
        assert measured["evaluations"] == 1 and Path(run["config"]) == folder / "config.yaml"
        assert run["macro F1@50"] == pytest.approx(measured["model"]["chosen"]["f1_macro@50"])
        assert run["parameters"] > 0 and run["peak MiB"] > 100 and run["training s"] > 0
    table = pd.read_csv(out / "table.csv", index_col="system")
    assert table.loc["holistic", "runs"] == 2 and "constant" in table.index and "prior" in table.index
    own = runs[runs["system"] == "holistic"]["ACC"]
    assert table.loc["holistic", "ACC mean"] == pytest.approx(own.mean())
    assert table.loc["holistic", "ACC std"] == pytest.approx(own.std())
    markdown, latex = (out / "table.md").read_text(), (out / "table.tex").read_text()
    assert all(title in markdown for title in METRICS) and f"{own.mean():.1f} ± {own.std():.1f}" in markdown
    assert (
        "broken, seed 0: failed" in markdown and r"$\pm$" in latex and (out / "table.png").stat().st_size > 0
    )
    before = (out / "table.csv").read_text()
    (out / "table.csv").unlink()
    capfd.readouterr()
    assert benchmark() == 3  # what is done stays, what failed is tried again
    assert capfd.readouterr().out.count("done before") == 4 and (out / "table.csv").read_text() == before


def test_folds_are_runs_of_their_own(tmp_path: Path) -> None:
    planned = trials(systems_of(["actdiff", "ltcontext"]), load_config("small"), 2, tmp_path, (1, 3))
    assert [trial.folder.name for trial in planned[:4]] == [
        "actdiff-seed0-fold1", "ltcontext-seed0-fold1", "actdiff-seed0-fold3", "ltcontext-seed0-fold3",
    ]  # fmt: skip
    assert len({trial.folder for trial in planned}) == 8
    assert {(trial.config.data.split, trial.config.data.fold) for trial in planned} == {
        ("fold", 1),
        ("fold", 3),
    }
    runs, table = gather(planned, {})
    (other,) = trials(systems_of(["ltcontext"]), load_config("actdiff-gtea"), 1, tmp_path)
    assert other.config.settings == {"link": "softmax"} and other.config.targets.soft_sigma == 1.4
    assert runs["fold"].tolist() == [1, 1, 3, 3] * 2 and list(table.index) == ["actdiff", "ltcontext"]


def test_the_ablation_leaves_out_each_part(tmp_path: Path) -> None:
    planned = {t.system.name: t for t in trials(load_systems("ablation"), load_config("small"), 1, tmp_path)}
    base = planned["hopadiff"].config.settings
    assert len(planned) == 8
    assert planned["without-hp-xlstm"].config.settings["hp_xlstm"] is None
    assert planned["without-bca"].config.settings["hp_xlstm"] == {**base["hp_xlstm"], "cross_gates": False}
    assert planned["actdiff-partial"].config.settings["encoder"] == base["encoder"]
    assert "hp_xlstm" not in planned["actdiff-partial"].config.settings


def test_what_can_not_be_run_is_named(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("a: {model: actdiff, seeds: 3}\n../b: {model: actdiff}\n")
    with pytest.raises(
        InputError, match=r"column a(.|\n)*column \.\./b: expected a name that a folder can have"
    ):
        load_systems(str(preset))
    with pytest.raises(InputError, match="one of ablation or a YAML file"):
        load_systems("everything")
    with pytest.raises(InputError, match="--seeds"):
        trials(systems_of(["actdiff"]), load_config(), 0, tmp_path)
    with pytest.raises(InputError, match="each system once"):
        trials(systems_of(["actdiff", "actdiff"]), load_config(), 1, tmp_path)
    with pytest.raises(InputError, match="model"):
        trials(systems_of(["other"]), load_config(), 1, tmp_path)
