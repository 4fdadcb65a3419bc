"""`rhas benchmark`: one table of systems and seeds, failures recorded, going on after a kill, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from outside_package import install
from process_tree import assert_ended, process_tree
from safetensors.torch import load_file
from tiny_config import TINY
from toy_segmenter import toy_features

from rhas.manifests.common.errors import InputError
from rhas.pipeline.programs.benchmark import places as benchmark_places
from rhas.pipeline.programs.benchmark import run_benchmark
from rhas.train.benchmark.bootstrap import At, Bootstrap
from rhas.train.benchmark.results import COST, HEADLINE, METRICS, TOP1
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.evaluation.persons import read_person_counts

SETTINGS = ["data.window=10", "data.split=random", "data.proportions=[6, 2, 2]", "batch=3", "epochs=3",
            "validate_every=1", "checkpoint_every=1"]  # fmt: skip
SYSTEMS = """
toy: {model: toy}
broken_one: {model: toy, set: [optimiser.lr=1.0e+30]}
steady: {from: toy, set: [readout.smoothing=median, readout.width=3]}
without_source: {from: broken_one, set: [readout.smoothing=median, readout.width=3]}
"""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A features folder, a preset, and what one undisturbed benchmark made of them."""

    features: Path
    preset: Path
    out: Path
    code: int

    def run(self, out: Path, *overrides: str) -> int:
        return run_benchmark(self.features, out, [], str(self.preset), TINY, [*SETTINGS, *overrides], 2)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("benchmark")
    preset = root / "systems.yaml"
    preset.write_text(SYSTEMS)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in install(root / "site", "toy_segmenter").items():
            patch.setenv(name, value)
        made = Bench(toy_features(root / "features"), preset, root / "bench", 0)
        yield dataclasses.replace(made, code=made.run(made.out))


def test_systems_and_seeds_make_one_table(bench: Bench) -> None:
    out = bench.out
    runs, table = pd.read_csv(out / "runs.csv"), pd.read_csv(out / "table.csv", index_col="system")
    assert bench.code == 3
    own = runs[runs["model"] != "baseline"]
    assert list(zip(own["system"], own["seed"], strict=True)) == [
        (name, seed) for seed in (0, 1) for name in ("toy", "broken_one", "steady", "without_source")
    ]
    assert own["split seed"].tolist() == own["seed"].tolist()
    for _, run in own[own["system"] == "toy"].iterrows():
        folder = out / "runs" / f"toy-seed{run['seed']}"
        measured = json.loads((folder / "metrics.json").read_text())["test"]
        assert measured["evaluations"] == 1 and Path(run["config"]) == folder / "config.yaml"
        assert run["macro F1@50"] == pytest.approx(measured["model"]["chosen"]["f1_macro@50"])
        assert run["top-1 F1@10"] == pytest.approx(measured["model"]["top1"]["f1@10"])
        assert (run["epoch"], str(run["τ"])) == (
            measured["checkpoint"]["epoch"],
            f"{measured['checkpoint']['readout']['tau']:g}",
        )
        assert run["status"] == "done" and run["device"] == "cpu"
        assert run["parameters"] == 6 * 2 + 2 and run["peak MiB"] > 100 and run["training s"] > 0
    acc = own[own["system"] == "toy"]["ACC"]
    assert table.loc["toy", "runs"] == 2
    assert table.loc["toy", "ACC mean"] == pytest.approx(acc.mean())
    assert table.loc["toy", "ACC std"] == pytest.approx(acc.std())
    markdown, latex = (out / "table.md").read_text(), (out / "table.tex").read_text()
    assert all(title in markdown for title in (*METRICS, *COST, *TOP1))
    assert f"{acc.mean():.1f} ± {acc.std():.1f}" in markdown
    assert rf"{acc.mean():.1f} $\pm$ {acc.std():.1f}" in latex and r"broken\_one" in latex
    assert (out / "table.png").stat().st_size > 0


def test_a_system_reads_the_weights_of_another_in_its_own_way(bench: Bench) -> None:
    runs = pd.read_csv(bench.out / "runs.csv").set_index(["system", "seed"])
    for seed in (0, 1):
        source, own = (bench.out / "runs" / f"{name}-seed{seed}" for name in ("toy", "steady"))
        trained, read = (load_file(run / "checkpoints" / "best.safetensors") for run in (source, own))
        assert trained.keys() == read.keys() and all((trained[name] == read[name]).all() for name in trained)
        assert not (own / "steps.csv").exists()
        measured = json.loads((own / "metrics.json").read_text())
        readout = measured["test"]["checkpoint"]["readout"]
        assert (readout["smoothing"], readout["width"]) == ("median", 3)
        assert measured["test"]["evaluations"] == 1
        row, first = runs.loc[("steady", seed)], runs.loc[("toy", seed)]
        assert row["weights of"] == f"toy-seed{seed}" and row["training s"] == first["training s"]
        assert row["epoch"] == first["epoch"] and "median of 3 frames" in row["read-out"]
        # The released way to use a run otherwise chooses nothing anew, so the best τ can only be as good or better.
        before = evaluate_run(
            source, "val", device="cpu", overrides=["readout.smoothing=median", "readout.width=3"]
        )
        assert row["validation macro F1@50"] >= before["model"]["chosen"]["f1_macro@50"] - 1e-9
    assert "which is not done" in runs.loc[("without_source", 0)]["status"]
    assert "| steady | the model's first head; median of 3 frames;" in (bench.out / "table.md").read_text()


def test_intervals_come_from_the_persons_of_each_run(bench: Bench) -> None:
    runs: dict[str, dict[At, pd.DataFrame]] = {"toy": {}, "steady": {}}
    for name, own in runs.items():
        for seed in (0, 1):
            own[At(seed, 0)] = read_person_counts(
                bench.out / "runs" / f"{name}-seed{seed}" / "persons-test.csv"
            )
    bootstrap = Bootstrap(runs)
    table = pd.read_csv(bench.out / "table.csv", index_col="system")
    apart = pd.read_csv(bench.out / "differences.csv", index_col="system")
    for name in runs:
        assert tuple(table.loc[name, [f"{HEADLINE} low", f"{HEADLINE} high"]]) == bootstrap.interval(name)
    found = tuple(apart.loc["steady", [f"{HEADLINE} low", f"{HEADLINE} high"]])
    assert found == bootstrap.apart("steady", "toy") and found[0] <= found[1]
    assert np.isnan(table.loc["constant", f"{HEADLINE} low"])


@pytest.mark.long
def test_a_reading_that_was_killed_is_made_again(bench: Bench, tmp_path: Path) -> None:
    out = shutil.copytree(bench.out, tmp_path / "bench")
    run = out / "runs" / "steady-seed1"
    for name in ("cost.json", "metrics.json", "data.json", "persons-test.csv"):
        (run / name).unlink()
    (run / "checkpoints" / ".rhas-0.tmp").write_text("half of a file")
    before = (out / "table.csv").read_text()
    assert bench.run(out) == 3 and (out / "table.csv").read_text() == before
    assert not list(out.rglob("*.tmp"))


def test_a_failed_run_says_why_and_keeps_its_log(bench: Bench) -> None:
    runs = pd.read_csv(bench.out / "runs.csv")
    status = runs[runs["system"] == "broken_one"]["status"].iloc[0]
    log = bench.out / "runs" / "broken_one-seed0" / "log.txt"
    assert status.startswith("failed: ") and str(log) in status
    assert log.read_text().strip().splitlines()[-1] in status
    for table in ("table.md", "table.tex"):
        assert "broken_one, seed 1: failed" in (bench.out / table).read_text()


def test_baselines_count_once_for_each_seed(bench: Bench) -> None:
    runs, table = (
        pd.read_csv(bench.out / "runs.csv"),
        pd.read_csv(bench.out / "table.csv", index_col="system"),
    )
    prior = runs[runs["system"] == "prior"]
    assert prior["seed"].tolist() == [0, 1] and (prior["model"] == "baseline").all()
    assert table.loc["prior", "runs"] == 2
    assert table.loc["prior", "ACC std"] == pytest.approx(prior["ACC"].std())


def test_a_killed_benchmark_goes_on_and_ends_with_the_same_table(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    command = [str(Path(sys.executable).with_name("rhas")), "benchmark", "--shards", str(bench.features), "--out",
               str(out), "--models", "toy", "--config", TINY, "--seeds", "1"]  # fmt: skip
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    steps = out / "runs" / "toy-seed0" / "steps.csv"
    while not (steps.is_file() and steps.read_text().count("\n") >= 2):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    children = [pid for pid in process_tree(process.pid) if pid != process.pid]
    process.kill()
    process.wait()
    assert_ended(children, within_s=10)  # its training does not go on without it
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    before, after = pd.read_csv(bench.out / "runs.csv"), pd.read_csv(out / "runs.csv")
    undisturbed = before[
        (before["seed"] == 0) & ~before["system"].isin(["broken_one", "steady", "without_source"])
    ].reset_index(drop=True)
    apart = ["config", "weights of", "training s", "peak MiB"]
    pd.testing.assert_frame_equal(after.drop(columns=apart), undisturbed.drop(columns=apart))
    assert after["training s"][0] > 0 and after["peak MiB"][0] > 100


def test_a_rerun_skips_what_is_done(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    before = (bench.out / "table.csv").read_text()
    (bench.out / "table.csv").unlink()
    assert bench.run(bench.out) == 3
    assert (
        capfd.readouterr().out.count("done before") == 4 and (bench.out / "table.csv").read_text() == before
    )


@pytest.mark.long
def test_runs_beside_each_other_make_the_same_table(bench: Bench, tmp_path: Path) -> None:
    """Also for those that wait for another's weights, and for one that fails."""
    code = run_benchmark(bench.features, tmp_path, [], str(bench.preset), TINY, SETTINGS, seeds=1, at_once=3)
    assert code == bench.code
    cost = ["config", "training s", "peak MiB", "status"]
    one, three = (pd.read_csv(out / "runs.csv").drop(columns=cost) for out in (bench.out, tmp_path))
    pd.testing.assert_frame_equal(one[one["seed"] == 0].reset_index(drop=True), three)


def test_runs_beside_each_other_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert benchmark_places(1) == [{}]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert benchmark_places(3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in benchmark_places(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in benchmark_places(2)] == ["5", "7"]


def test_another_budget_or_other_data_is_refused(bench: Bench) -> None:
    planned = bench.out / "runs" / "toy-seed0" / "planned.yaml"
    before = planned.read_text()
    with pytest.raises(InputError) as caught:
        bench.run(bench.out, "epochs=4", "settings.noise=0.5")
    assert {(p.column, str(p.value)) for p in caught.value.problems} == {
        ("epochs", "4"),
        ("settings.noise", "0.5"),
    }
    labels = bench.features / "labels.csv"
    text = labels.read_text()
    labels.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    try:
        with pytest.raises(InputError, match=r"the features and labels that .* was begun with"):
            bench.run(bench.out)
    finally:
        labels.write_text(text)
    assert planned.read_text() == before


def test_two_benchmarks_never_share_a_folder(bench: Bench, tmp_path: Path) -> None:
    holder = "import sys, fcntl; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(1, flush=True); input()"
    (tmp_path / "lock").write_text("host a, process 1\n")
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(InputError, match="host a, process 1"):
            bench.run(tmp_path)
        other.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
