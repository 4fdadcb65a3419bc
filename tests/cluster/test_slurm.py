"""Under Slurm itself: a pipeline that is cancelled, requeued or loses nodes goes on where it was; so does an array."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from extractions import problems
from machines import BIN, Machine, impossible, machines
from real_slurm import Slurm, absent
from tiny_config import TINY

from rhas.pipeline.world.writing import World, write_world

ROOT = Path(__file__).parents[2]
SCRIPT, PAGE = ROOT / "docker" / "slurm.sh", ROOT / "docs" / "run" / "slurm.md"
EXTRACT = """
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 5, workers: 2, decoders: 2,
            set: [decode.window_frames=8]}
  verify:
"""
TRAIN = (
    '  train: {config: CONFIG, split: random, window: 20, set: [epochs=1, "data.proportions=[2, 1, 1]"]}\n'
)
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")

pytestmark = pytest.mark.skipif(bool(impossible() or absent()), reason=impossible() or absent())


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    folder = tmp_path_factory.mktemp("slurm")
    with machines(folder, "control", "node1", "node2", "node3") as (control, *nodes):
        yield Slurm(control, nodes, folder / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where jobs are submitted: movies and two pipelines over them."""
    write_world(tmp_path / "movies", World(movies=5, seed=3, shortest_s=12, longest_s=13))
    (tmp_path / "night.yaml").write_text(EXTRACT + TRAIN.replace("CONFIG", TINY))
    (tmp_path / "extraction.yaml").write_text(EXTRACT)
    return tmp_path


def submit(slurm: Slurm, folder: Path, pipeline: str, nodes: int = 2) -> tuple[str, Path]:
    """As the page on Slurm says, with an environment that the script is told of: the job and its log."""
    options = (f"--nodes={nodes}", "--gpus-per-node=2")
    job = slurm.sbatch(*options, SCRIPT, pipeline, cwd=folder, RHAS=str(BIN.parent))
    return job, folder / f"rhas-{job}.log"


def windows(out: Path) -> int:
    """Finished ones of unfinished movies, and a movie's worth of each that is whole."""
    return len(list(out.glob("parts/*/*.h5"))) + 20 * len(list(out.glob("shards/*.h5")))


def until_working(slurm: Slurm, job: str, log: Path, out: Path) -> None:
    """Until it has finished a window more than there were."""
    before = windows(out)

    def working() -> bool:
        state = slurm.state(job)
        assert state not in ENDS, f"{state}\n{said(log)}"
        return windows(out) > before

    slurm.until(working, f"{job} has finished a window", 300)


def ended(slurm: Slurm, job: str, log: Path, seconds: float = 400) -> str:
    """How it ended, once nothing of it is left on the nodes that there still are."""
    until = time.monotonic() + seconds
    while (state := slurm.state(job)) not in ENDS:
        assert time.monotonic() < until, f"{state}\n{said(log)}\n{slurm.account()}"
        time.sleep(0.5)
    # Its agents notice within a minute that their raylet is gone.
    slurm.until(lambda: not any(rays(node) for node in slurm.nodes), "nothing of Ray is left", 60)
    return state


def rays(node: Machine) -> list[str]:
    """Processes of it that there are on a node."""
    if node.outside.poll() is not None:
        return []
    return [line for line in node.run("ps", "axo", "args").splitlines() if "raylet" in line]


def said(log: Path) -> str:
    return log.read_text() if log.exists() else "no log yet"


def test_a_pipeline_is_cancelled_requeued_and_warned_and_goes_on_each_time(
    slurm: Slurm, folder: Path
) -> None:
    out = folder / "night" / "extract"
    job, log = submit(slurm, folder, "night.yaml")
    until_working(slurm, job, log, out)
    slurm.say("scancel", job)
    assert ended(slurm, job, log) == "CANCELLED", said(log)
    assert "extract: interrupted after" in said(log)
    assert not (folder / "night" / "stages.json").exists()
    kept = {shard: shard.stat().st_mtime_ns for shard in out.glob("shards/*.h5")}

    job, log = submit(slurm, folder, "night.yaml")
    until_working(slurm, job, log, out)
    slurm.say("scontrol", "requeue", job)
    slurm.until(lambda: slurm.shown(job, "Restarts") == "1", "it was requeued", 60)
    slurm.until(
        lambda: said(log).count("1/3 extract: rhas extract") == 2, "it runs again, in the same log", 200
    )
    until_working(slurm, job, log, out)
    slurm.say("scancel", "--batch", "--signal=TERM", job)  # as Slurm does before the time limit
    assert ended(slurm, job, log) == "FAILED" and slurm.shown(job, "ExitCode") == "130:0", said(log)
    assert said(log).count("extract: interrupted after") == 2
    slurm.say("scontrol", "requeue", job)
    slurm.until(lambda: slurm.shown(job, "Restarts") == "2", "it was requeued", 60)
    assert ended(slurm, job, log, 600) == "COMPLETED", said(log)
    assert "3/3 train: done" in said(log) and problems(out) == []
    assert '"models": 2' in (out / "report.json").read_text()
    assert all(shard.stat().st_mtime_ns == then for shard, then in kept.items())


def test_a_node_that_fails_is_done_without_unless_it_is_the_first(slurm: Slurm, folder: Path) -> None:
    one, two, three = slurm.nodes
    job, log = submit(slurm, folder, "extraction.yaml")
    until_working(slurm, job, log, folder / "extraction" / "extract")
    two.pull_the_plug()
    assert ended(slurm, job, log) == "COMPLETED", said(log)
    assert slurm.shown(job, "Restarts") == "0" and problems(folder / "extraction" / "extract") == []

    (folder / "again.yaml").write_text(EXTRACT.replace("workers: 2, decoders: 2", "workers: 1, decoders: 1"))
    job, log = submit(slurm, folder, "again.yaml", nodes=1)
    until_working(slurm, job, log, folder / "again" / "extract")
    assert slurm.shown(job, "NodeList") == one.name
    one.pull_the_plug()
    slurm.until(lambda: slurm.shown(job, "Restarts") == "1", "it was requeued", 120)
    assert ended(slurm, job, log) == "COMPLETED", said(log)
    assert slurm.shown(job, "NodeList") == three.name and problems(folder / "again" / "extract") == []


def test_tasks_of_an_array_share_a_folder_and_a_cancelled_one_is_done_alone(
    slurm: Slurm, folder: Path
) -> None:
    # As the page has it, but for GPUs, which are pretended, and nodes of one core.
    (script,) = re.findall(r"(#!/bin/bash\n#SBATCH --array.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "movies" / "array.sh").write_text(
        script.replace("exec rhas", f"exec {BIN}/rhas").replace("/shared/features", str(folder / "features"))
        .replace("--gpus 1", "--gpus 0 --preset tiny-random --set decode.window_frames=8")
    )  # fmt: skip

    def submit(*options: str) -> str:
        shown = ("--cpus-per-task=1", f"--output={folder}/%A-%a.log", *options)
        return slurm.sbatch(*shown, "array.sh", cwd=folder / "movies")

    out = folder / "features"
    job = submit("--array=0-2")
    slurm.until(lambda: list(out.glob("ranks/2-of-3/lock")), "the last task works", 120)
    slurm.say("scancel", f"{job}_2")
    slurm.until(lambda: slurm.state(f"{job}_2") == "CANCELLED", "it was cancelled", 60)
    slurm.until(
        lambda: all(slurm.state(f"{job}_{rank}") in ENDS for rank in (0, 1)), "the others have ended", 300
    )
    assert {slurm.state(f"{job}_{rank}") for rank in (0, 1)} == {"COMPLETED"}, said(folder / f"{job}-0.log")
    assert problems(out)  # it names movies that nobody has done
    (folder / "movies" / "array.sh").write_text(
        (folder / "movies" / "array.sh").read_text().replace("--rank slurm", "--rank slurm --world-size 3")
    )
    job = submit("--array=2")
    slurm.until(lambda: slurm.state(f"{job}_2") in ENDS, "it has ended", 300)
    assert slurm.state(f"{job}_2") == "COMPLETED", said(folder / f"{job}-2.log")
    assert problems(out) == [] and len(list(out.glob("shards/*.h5"))) == 5
