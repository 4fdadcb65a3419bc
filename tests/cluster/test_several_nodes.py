"""An extraction over several raylets: it spreads, outlives a node, takes in a late one; the driver has no core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from extractions import assert_same, problems, series
from process_tree import command, process_tree
from ray.cluster_utils import Cluster

from rhas.pipeline.world.writing import World, write_world

SETTINGS = (
    "--preset",
    "tiny-random",
    "--fps",
    "5",
    "--set",
    "decode.window_frames=8",
    "--decoders",
    "2",
    "--batch",
    "8",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(
        tmp_path_factory.mktemp("movies"), World(movies=3, seed=3, shortest_s=12, longest_s=13)
    )


@pytest.fixture(scope="module")
def alone(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What one node makes of it."""
    out = tmp_path_factory.mktemp("alone")
    process = begin(manifest, out, "--workers", "1")
    assert process.wait(300) == 0, said(process)
    return series(out)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without cores, for the driver and the writer."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


def begin(manifest: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    order = [
        sys.executable,
        "-m",
        "rhas.pipeline.cli",
        "extract",
        "--movies",
        str(manifest),
        "--out",
        str(out),
    ]
    return subprocess.Popen(
        [*order, *SETTINGS, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.read()


def model_workers(node: Any) -> int:
    """How many of them the node's raylet has started."""
    (raylet,) = node.all_processes["raylet"]
    return sum(command(pid).startswith("ray::ModelWorker") for pid in process_tree(raylet.process.pid))


def wait_for(reached: Any, process: subprocess.Popen[str], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, said(process)
        assert time.monotonic() < until, "not reached"
        time.sleep(0.05)


def windows(out: Path) -> int:
    """Finished ones of unfinished movies, and a movie's worth of each that is whole."""
    return len(list(out.glob("parts/*/*.h5"))) + 20 * len(list(out.glob("shards/*.h5")))


def ended_well(process: subprocess.Popen[str], out: Path, alone: dict) -> None:
    code = process.wait(300)
    assert code == 0, said(process)
    assert problems(out) == []
    assert_same(series(out), alone, ties=True)  # a node has another number of threads


def test_work_spreads_over_nodes_and_one_of_them_may_be_killed(
    cluster: Any, manifest: Path, alone: dict, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    process = begin(manifest, tmp_path, "--workers", "2", "--address", cluster.address)
    wait_for(lambda: windows(tmp_path) >= 3, process)
    assert [model_workers(node) for node in nodes] == [1, 1]
    cluster.remove_node(nodes[1], allow_graceful=False)
    ended_well(process, tmp_path, alone)


def test_a_node_that_joins_late_gets_work(cluster: Any, manifest: Path, alone: dict, tmp_path: Path) -> None:
    first = cluster.add_node(num_cpus=1)
    spread = ("--workers", "2", "--cpus", "2", "--elastic", "--address", cluster.address)
    process = begin(manifest, tmp_path, *spread)
    wait_for(lambda: windows(tmp_path) >= 3, process)
    assert model_workers(first) == 1
    second = cluster.add_node(num_cpus=1)
    wait_for(lambda: model_workers(second) == 1, process)
    ended_well(process, tmp_path, alone)
    assert '"models": 2' in (tmp_path / "report.json").read_text()
