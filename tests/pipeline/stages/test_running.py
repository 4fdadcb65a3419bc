"""A pipeline as a user runs it: both stages, logs, what is left alone the next time, and what stops it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from extractions import WORKERS
from process_tree import assert_ended, command, process_tree
from tiny_config import TINY

from rhas.pipeline.stages.kinds import digest
from rhas.pipeline.stages.pipeline_file import load_pipeline
from rhas.pipeline.stages.running import read
from rhas.pipeline.world.writing import World, write_world

PIPELINE = """
out: out
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 3, workers: 1, decoders: 1}
  verify:
  train: {config: CONFIG, split: random, window: 20, set: [epochs=1, "data.proportions=[2, 1, 1]"]}
  eval:
""".replace("CONFIG", TINY)


def rhas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    order = [sys.executable, "-m", "rhas.pipeline.cli", *map(str, arguments)]
    return subprocess.run(order, capture_output=True, text=True, timeout=300)


def states(said: str) -> list[str]:
    """What each stage came to, in order: done, done before, to do, failed."""
    ends = [line.partition(": ")[2] for line in said.splitlines() if line[:1].isdigit()]
    return [
        end.split(" in ")[0].split(" after ")[0]
        for end in ends
        if end.startswith(("done", "to do", "failed"))
    ]


@dataclass
class Ran:
    """A pipeline's folder after a first run."""

    folder: Path
    first: subprocess.CompletedProcess[str]

    @property
    def file(self) -> Path:
        return self.folder / "night.yaml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("pipeline")
    write_world(folder / "movies", World(movies=4, seed=7, shortest_s=4, longest_s=5))
    (folder / "night.yaml").write_text(PIPELINE)
    planned = rhas("run", folder / "night.yaml", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert states(planned.stdout) == ["to do"] * 4 and not (folder / "out").exists()
    yield Ran(folder, rhas("run", folder / "night.yaml"))


def test_stages_run_in_their_order_each_with_a_log(ran: Ran) -> None:
    assert ran.first.returncode == 0, ran.first.stdout + ran.first.stderr
    assert states(ran.first.stdout) == ["done"] * 4
    out = ran.folder / "out"
    for stage, said in (
        ("extract", "frames"),
        ("verify", "clean"),
        ("train", "best validation"),
        ("eval", "edit"),
    ):
        assert said in (out / "logs" / f"{stage}.log").read_text(), stage
    assert "test" in json.loads((out / "train" / "metrics.json").read_text())
    assert list(json.loads((out / "stages.json").read_text())) == ["extract", "verify", "train", "eval"]


def test_what_is_unchanged_is_left_alone_and_what_is_not_is_done_again(ran: Ran) -> None:
    again = rhas("run", ran.file)
    assert again.returncode == 0 and states(again.stdout) == ["done before"] * 4
    (ran.folder / "out" / "train" / "results.csv").unlink()
    assert states(rhas("run", ran.file).stdout) == ["done before"] * 3 + ["done"]
    # How a stage runs is nothing that its outcome depends on.
    ran.file.write_text(PIPELINE.replace("workers: 1", "workers: 2"))
    assert states(rhas("run", ran.file, "--dry-run").stdout) == ["done before"] * 4
    ran.file.write_text(PIPELINE.replace("epochs=1", "epochs=2"))
    assert states(rhas("run", ran.file, "--dry-run").stdout) == ["done before"] * 2 + ["to do"] * 2
    ran.file.write_text(PIPELINE)
    manifest = ran.folder / "movies" / "manifest.csv"
    before = manifest.read_text()
    manifest.write_text(before.replace("the ", "this ", 1))
    assert states(rhas("run", ran.file, "--dry-run").stdout) == ["to do"] * 4
    manifest.write_text(before)


def test_files_of_the_users_own_are_inputs_too(ran: Ran, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("{model: actdiff, epochs: 1}\n")
    (tmp_path / "night.yaml").write_text(
        f"stages: {{train: {{shards: {ran.folder}/out/extract, config: mine.yaml}}}}"
    )
    (stage,) = load_pipeline(tmp_path / "night.yaml").stages
    before = read(stage)
    assert stage.inputs["config"] == config and read(stage) == before
    config.write_text("{model: actdiff, epochs: 2}\n")
    assert read(stage) != before, "another configuration under the same name"


@pytest.mark.parametrize("size", [10, 65 << 20])
def test_weights_in_a_folder_are_told_apart_though_their_sizes_are_the_same(
    tmp_path: Path, size: int
) -> None:
    for name, last in (("one", b"a"), ("same", b"a"), ("other", b"b")):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as file:
            file.truncate(size)
            file.seek(size - 1)
            file.write(last)
    one, same, other = (digest(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other


def test_the_plan_says_what_stages_need(ran: Ran) -> None:
    needs = [line.split("needs")[1].strip() for line in rhas("run", ran.file, "--dry-run").stdout.splitlines()
             if "needs" in line]  # fmt: skip
    assert needs == [
        "1 worker, 1 decoder",
        "one core",
        *["one GPU if this machine has one, else its cores"] * 2,
    ]


def test_a_failing_stage_names_its_log_and_stops_the_rest(ran: Ran) -> None:
    ran.file.write_text(
        PIPELINE.replace("epochs=1", "batch=3, epochs=1")
    )  # the run folder holds another config
    failed = rhas("run", ran.file)
    ran.file.write_text(PIPELINE)
    assert failed.returncode == 2
    assert states(failed.stdout) == ["done before", "done before", "failed"]
    assert str(ran.folder / "out" / "logs" / "train.log") in failed.stdout
    assert "batch" in (ran.folder / "out" / "logs" / "train.log").read_text()
    assert states(rhas("run", ran.file).stdout) == ["done before"] * 4


def test_lost_movies_do_not_stop_it_but_are_told_and_asked_again(ran: Ran, tmp_path: Path) -> None:
    rows = (
        (ran.folder / "movies" / "manifest.csv")
        .read_text()
        .replace("movies/", f"{ran.folder}/movies/movies/")
    )
    (tmp_path / "manifest.csv").write_text(rows + "gone,gone.mp4,p1,the man in the red shirt\n")
    stages = PIPELINE.replace("movies/manifest.csv", "manifest.csv").split("  train")[0]
    (tmp_path / "night.yaml").write_text(stages)
    first = rhas("run", tmp_path / "night.yaml")
    assert first.returncode == 3, first.stdout + first.stderr
    assert "some movies or windows failed" in first.stdout
    assert states(first.stdout) == ["done", "done"]
    again = rhas("run", tmp_path / "night.yaml", "--dry-run")
    assert states(again.stdout) == ["to do", "to do"], "what comes of the movie may come later"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_however_it_ends_its_stage_ends_with_it(ran: Ran, tmp_path: Path, sent: signal.Signals) -> None:
    text = PIPELINE.replace("movies/manifest.csv", str(ran.folder / "movies" / "manifest.csv"))
    (tmp_path / "night.yaml").write_text(text.replace("fps: 3", "fps: 15"))
    order = [sys.executable, "-m", "rhas.pipeline.cli", "run", str(tmp_path / "night.yaml")]
    process = subprocess.Popen(order, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list((tmp_path / "out").glob("extract/parts/*/*.h5")) and time.monotonic() < until:
        time.sleep(0.1)
        if list((tmp_path / "out").glob("extract/shards/*.h5")):
            break
    ours = (
        *WORKERS.values(),
        "rhas.pipeline.cli",
    )  # Ray's own agents take a minute to notice a killed driver
    tree = [pid for pid in process_tree(process.pid) if any(name in command(pid) for name in ours)]
    assert len(tree) >= 4
    process.send_signal(sent)
    code = process.wait(60)
    assert code == 130
    assert process.stdout is not None
    assert "extract: interrupted after" in process.stdout.read()
    assert_ended(tree)
