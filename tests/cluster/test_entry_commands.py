"""The commands of compose.yaml and rayjob.yaml, run on machines that stand in for containers and pods.

From the files themselves: what they start, with which environment. What KubeRay adds to them (`ray start` with the
parameters of a group, its token, `ray job submit`) is written down here as its documentation has it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from feature_folders import make_movie, write_folder
from machines import Machine, impossible, machines

DOCKER = Path(__file__).parents[2] / "docker"
pytestmark = pytest.mark.skipif(bool(impossible()), reason=impossible())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What is mounted as /data: a pipeline, of the stage that needs the least."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_folder(folder / "features", [make_movie()])
    (folder / "pipeline.yaml").write_text("stages: {verify: {features: features}}")
    return folder


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Machine]]:
    with machines(tmp_path, "head", "worker") as made:
        yield made


def words(command: str, data: Path) -> list[str]:
    return shlex.split(command.replace("/data", str(data)))


def wait_until_well(machine: Machine, command: list[str], log: Path, **variables: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            machine.run(*command, **variables)
            return
        except AssertionError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(1)


def test_compose_starts_a_cluster_that_takes_the_job_of_its_first_lines(
    nodes: list[Machine], data: Path, tmp_path: Path
) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    head, worker = nodes
    log = tmp_path / "log"
    variables = services["head"]["environment"]
    head.start(log, *words(services["head"]["command"], data), **variables)
    wait_until_well(head, services["head"]["healthcheck"]["test"][1:], log, **variables)
    worker.start(log, *words(services["worker"]["command"], data), **services["worker"]["environment"])
    (line,) = [line for line in text.splitlines() if " exec head " in line]
    said = head.run(*words(line.split(" exec head ")[1], data), **variables)
    assert "1/1 verify: done" in said
    wait_until_well(head, ["sh", "-c", "ray status | grep -c '^ 1 node_' | grep -x 2"], log, **variables)


def test_a_rayjobs_pods_form_a_cluster_that_runs_its_entrypoint(
    nodes: list[Machine], data: Path, tmp_path: Path
) -> None:
    job = yaml.safe_load((DOCKER / "rayjob.yaml").read_text())["spec"]
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    head_options, worker_options = (
        [f"--{name}={value}" for name, value in group["rayStartParams"].items()] for group in groups
    )
    head, worker = nodes
    log = tmp_path / "log"
    head.start(log, "ray", "start", "--head", "--block", "--num-cpus=1", *head_options, **token)
    wait_until_well(worker, ["ray", "health-check", "--address=head:6379"], log, **token)
    worker.start(
        log, "ray", "start", "--block", "--address=head:6379", "--num-cpus=1", *worker_options, **token
    )
    submit = ["ray", "job", "submit", "--address=http://head:8265", "--", *words(job["entrypoint"], data)]
    wait_until_well(worker, ["rhas", "status", "--address=http://head:8265"], log, **token)
    said = worker.run(*submit, **token)
    assert "1/1 verify: done" in said and "succeeded" in said
    other = worker.order("rhas", "status", "--address=http://head:8265")
    assert "a token that this cluster accepts" in refused(other, worker.environment())


def refused(order: list[str], environment: dict[str, str]) -> str:
    import subprocess

    done = subprocess.run(order, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr
