"""Pipelines as Ray jobs: submitted, cancelled, submitted again; a stage that fails; what is said of wrong input."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from extractions import problems
from ray.cluster_utils import Cluster

from rhas.pipeline.world.writing import World, write_world

PIPELINE = """
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 5, workers: 1, decoders: 1,
            set: [decode.window_frames=8]}
  verify:
"""


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    write_world(folder / "movies", World(movies=4, seed=3, shortest_s=12, longest_s=13))
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of the dashboard of a head without cores, to which one node belongs."""
    dashboard, agent = free_ports(2)  # others may have Ray's own
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": dashboard}
    # A folder of its own, with a short name for sockets: jobs find their cluster by it.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        more = {"dashboard_agent_listen_port": agent, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head | more)
        cluster.add_node(num_cpus=1)
        yield f"http://127.0.0.1:{dashboard}"
        cluster.shutdown()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def rhas(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and all that it says."""
    order = [sys.executable, "-m", "rhas.pipeline.cli", *map(str, arguments)]
    done = subprocess.run(order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    return done.returncode, done.stdout


def test_a_cancelled_pipeline_goes_on_where_it_was_when_it_is_submitted_again(
    address: str, movies: Path
) -> None:
    (movies / "night.yaml").write_text(PIPELINE)
    out, at = movies / "night" / "extract", ("--address", address)
    code, said = rhas("submit", movies / "night.yaml", "--no-follow", *at)
    assert code == 0, said
    (job,) = re.findall(r"^(\S+): submitted", said, re.MULTILINE)
    until = time.monotonic() + 500
    while not list(out.glob("parts/*/*.h5")):
        assert time.monotonic() < until, rhas("status", job, "--logs", *at)
        time.sleep(0.1)
    assert f"{job}  RUNNING" in rhas("status", *at)[1]
    code, said = rhas("cancel", job, *at)
    assert code == 0 and said.startswith(f"{job}: STOPPED\n")
    code, said = rhas("status", job, "--logs", *at)
    assert f"{job}  STOPPED" in said and "extract: interrupted after" in said
    assert "finished windows are kept" in said and "SIGTERM received" not in said, "it ended in its own way"
    kept = {part: part.stat().st_mtime_ns for part in out.glob("parts/*/*.h5")}
    kept |= {shard: shard.stat().st_mtime_ns for shard in out.glob("shards/*.h5")}
    assert kept and not (movies / "night" / "stages.json").exists()
    code, said = rhas("submit", movies / "night.yaml", *at)
    assert code == 0 and "2/2 verify: done" in said, said
    assert problems(out) == []
    assert all(
        shard.stat().st_mtime_ns == then for shard, then in kept.items() if shard.parent.name == "shards"
    )
    code, said = rhas("submit", movies / "night.yaml", *at)
    assert code == 0 and said.count("done before") == 2


def test_a_stage_that_fails_there_names_its_log_and_its_exit_code_is_the_commands(
    address: str, movies: Path
) -> None:
    text = PIPELINE.replace("workers: 1", "workers: 3")  # on a cluster of one core
    (movies / "more.yaml").write_text(text)
    code, said = rhas("submit", movies / "more.yaml", "--address", address)
    assert code == 2 and "1/2 extract: failed after" in said, said
    log = movies / "more" / "logs" / "extract.log"
    assert f"see {log}" in said
    assert "--workers: got 3: expected at most 1, one for each core" in log.read_text()


def test_mistakes_are_told_before_anything_is_submitted(address: str, movies: Path) -> None:
    (movies / "wrong.yaml").write_text("stages: {extract: {movis: a.csv}}")
    code, said = rhas("submit", movies / "wrong.yaml", "--address", address)
    assert code == 2 and "extract.movis" in said
    for command in ("status", "cancel"):
        code, said = rhas(command, "nobody", "--address", address)
        assert code == 2 and "got 'nobody': expected the id of a job of this cluster" in said
    for command in (["status"], ["cancel", "a"], ["submit", movies / "night.yaml"]):
        code, said = rhas(*command, "--address", "http://127.0.0.1:9")
        assert code == 2 and "expected the dashboard of a running Ray cluster" in said
