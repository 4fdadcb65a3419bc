"""A Ray cluster of machines with networks of their own, by the commands of docs/run/ray-cluster.md.

The client is a machine outside the cluster, the head has neither core nor GPU; a worker is lost and another one joins.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from extractions import problems
from machines import BIN, Machine, impossible, machines
from tiny_config import TINY

from rhas.pipeline.world.writing import World, write_world

PIPELINE = """
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 15, workers: 2, decoders: 2, elastic: true,
            set: [decode.window_frames=8]}
  verify:
  train: {config: CONFIG, split: random, window: 20, set: [epochs=1, "data.proportions=[2, 1, 1]"]}
  eval:
""".replace("CONFIG", TINY)
ADDRESS = ("--address", "http://head:8265")

pytestmark = pytest.mark.skipif(bool(impossible()), reason=impossible())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Machine]]:
    """A head and one worker that runs, one that doesn't yet, and a client; all with the head's token."""
    with machines(tmp_path, "head", "worker1", "worker2", "client") as (head, *others):
        head.run("ray", "get-auth-token", "--generate")
        token = (head.home / ".ray" / "auth_token").read_text()
        for machine in (head, *others):
            machine.variables["RAY_AUTH_MODE"] = "token"
        for other in others:
            (other.home / ".ray").mkdir()
            (other.home / ".ray" / "auth_token").write_text(token)
        head.run(
            "ray",
            "start",
            "--head",
            "--port=6379",
            "--dashboard-host=0.0.0.0",
            "--num-cpus=0",
            "--num-gpus=0",
        )
        join(others[0])
        yield [head, *others]


def join(worker: Machine) -> None:
    """By its full path: what runs there finds its own Python."""
    worker.run(
        BIN / "ray", "start", "--address=head:6379", "--num-cpus=1", PATH="/usr/sbin:/usr/bin:/sbin:/bin"
    )


def wait_for(reached: Callable[[], object], log: Path, seconds: float = 500) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def test_a_job_outlives_its_client_and_a_node_and_takes_in_another(
    cluster: list[Machine], tmp_path: Path
) -> None:
    head, one, two, client = cluster
    write_world(tmp_path / "movies", World(movies=4, seed=3, shortest_s=12, longest_s=13))
    (tmp_path / "night.yaml").write_text(PIPELINE)
    out, log = tmp_path / "night", tmp_path / "client.log"
    assert "no pipelines were submitted" in client.run("rhas", "status", *ADDRESS)

    client.start(log, "rhas", "submit", tmp_path / "night.yaml", *ADDRESS)
    wait_for(lambda: list(out.glob("extract/parts/*/*.h5")), log)
    client.pull_the_plug()
    (job,) = re.findall(r"^(\S+): submitted", log.read_text(), re.MULTILINE)
    assert "1/4 extract" in log.read_text()
    assert f"{job}  RUNNING" in head.run("rhas", "status", *ADDRESS)

    join(two)
    wait_for(lambda: "ModelWorker" in two.run("ps", "axo", "args"), log)
    assert not (out / "extract" / "report.json").exists()
    one.pull_the_plug()
    wait_for(lambda: "RUNNING" not in head.run("rhas", "status", *ADDRESS), log, 600)
    said = head.run("rhas", "status", job, "--logs", *ADDRESS)
    assert f"{job}  SUCCEEDED" in said and "4/4 eval: done" in said, said
    assert problems(out / "extract") == []
    assert json.loads((out / "extract" / "report.json").read_text())["workers"]["models"] == 2
