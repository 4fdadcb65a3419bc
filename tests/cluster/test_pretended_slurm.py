"""The Slurm script without Slurm, by a stand-in for sbatch and srun: its warning, its going on, its errors."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import BIN, Machine, impossible, machines
from pretend_slurm import Slurm
from tiny_config import TINY

from rhas.pipeline.world.writing import World, write_world

SCRIPT = Path(__file__).parents[2] / "docker" / "slurm.sh"
PIPELINE = """
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 5, workers: 2, decoders: 2,
            set: [decode.window_frames=8]}
  verify:
  train: {config: CONFIG, split: random, window: 20, set: [epochs=1, "data.proportions=[2, 1, 1]"]}
""".replace("CONFIG", TINY)

pytestmark = pytest.mark.skipif(bool(impossible()), reason=impossible())


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Machine]]:
    with machines(tmp_path, "node1", "node2") as made:
        yield made


@pytest.fixture
def slurm(nodes: list[Machine], tmp_path: Path) -> Slurm:
    return Slurm(nodes, tmp_path)


def submit(slurm: Slurm, folder: Path, pipeline: str = "night.yaml") -> subprocess.Popen[bytes]:
    """As the page on Slurm says, with an environment that the script is told of."""
    return slurm.sbatch(
        "--nodes=2", "--gpus-per-node=0", str(SCRIPT), pipeline, cwd=folder, RHAS=str(BIN.parent)
    )


def test_a_pipeline_is_warned_goes_on_when_requeued_and_ends_with_all_of_ray(
    slurm: Slurm, nodes: list[Machine], tmp_path: Path
) -> None:
    write_world(tmp_path / "movies", World(movies=3, seed=3, shortest_s=8, longest_s=9))
    (tmp_path / "night.yaml").write_text(PIPELINE)
    job, log = submit(slurm, tmp_path), tmp_path / "rhas-4711.log"
    until = time.monotonic() + 500
    while not list((tmp_path / "night").glob("extract/parts/*/*.h5")):
        assert job.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    slurm.warn()
    assert job.wait(240) == 130, log.read_text()
    assert "extract: interrupted after" in log.read_text()
    assert not (tmp_path / "night" / "stages.json").exists()
    assert all("raylet" not in node.run("ps", "axo", "args") for node in nodes)
    assert submit(slurm, tmp_path).wait(600) == 0, log.read_text()
    assert "3/3 train: done" in log.read_text()
    assert '"models": 2' in (tmp_path / "night" / "extract" / "report.json").read_text()
    assert all("raylet" not in node.run("ps", "axo", "args") for node in nodes)
    assert submit(slurm, tmp_path, "nothing.yaml").wait(60) == 1
    assert "nothing.yaml: No such file" in log.read_text()
