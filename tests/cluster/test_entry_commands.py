"""The commands of compose.yaml and rayjob.yaml, run in containers of the image, and on machines in place of them.

From the files themselves: what they start, with which environment. What KubeRay adds to them (`ray start` with the
parameters of a group, its token, `ray job submit`) is written down here as its documentation has it.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import containers
import pytest
import yaml
from containers import Container
from feature_folders import make_movie, write_folder
from machines import Machine, impossible, machines

DOCKER = Path(__file__).parents[2] / "docker"
Node = Machine | Container
pytestmark = pytest.mark.skipif(bool(impossible()), reason=impossible())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What is mounted as /data: a pipeline, of the stage that needs the least."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_folder(folder / "features", [make_movie()])
    (folder / "pipeline.yaml").write_text("stages: {verify: {features: features}}")
    return folder


@pytest.fixture(params=[Machine, Container])
def nodes(tmp_path: Path, data: Path, request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """A head and a worker: the machines themselves, or a container on each one's network."""
    if request.param is Container and containers.absent():
        pytest.skip(containers.absent())
    with machines(tmp_path, "head", "worker") as made:
        if request.param is Machine:
            yield [*made]
            return
        with containers.containers(made, data) as inside:
            yield [*inside]


def variables_of(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment; where compose would ask its own, as with ${NAME:-a}, what stands for nothing."""
    environment = service["environment"]
    return {name: re.sub(r"\$\{\w+:-(\w*)\}", r"\1", value) for name, value in environment.items()}


def words(command: str, node: Node, data: Path) -> list[str]:
    """/data is mounted in containers; machines have the folder itself."""
    return shlex.split(command if isinstance(node, Container) else command.replace("/data", str(data)))


def wait_until_well(machine: Node, command: list[str], log: Path, **variables: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            machine.run(*command, **variables)
            return
        except AssertionError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(1)


def test_compose_starts_a_cluster_that_takes_the_job_of_its_first_lines(
    nodes: list[Node], data: Path, tmp_path: Path
) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    head, worker = nodes
    log = tmp_path / "log"
    variables = variables_of(services["head"])
    head.start(log, *words(services["head"]["command"], head, data), **variables)
    wait_until_well(head, services["head"]["healthcheck"]["test"][1:], log, **variables)
    worker.start(log, *words(services["worker"]["command"], worker, data), **variables_of(services["worker"]))
    (line,) = [line for line in text.splitlines() if " exec head " in line]
    said = head.run(*words(line.split(" exec head ")[1], head, data), **variables)
    assert "1/1 verify: done" in said
    wait_until_well(head, ["sh", "-c", "ray status | grep -c '^ 1 node_' | grep -x 2"], log, **variables)


def test_a_rayjobs_pods_form_a_cluster_that_runs_its_entrypoint(
    nodes: list[Node], data: Path, tmp_path: Path
) -> None:
    job = yaml.safe_load((DOCKER / "rayjob.yaml").read_text())["spec"]
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    pods = [group["template"]["spec"]["containers"][0]["env"] for group in groups]
    assert pods[0] == pods[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    token |= {variable["name"]: variable["value"] for variable in pods[0]}
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
    submit = [
        "ray",
        "job",
        "submit",
        "--address=http://head:8265",
        "--",
        *words(job["entrypoint"], worker, data),
    ]
    wait_until_well(worker, ["rhas", "status", "--address=http://head:8265"], log, **token)
    said = worker.run(*submit, **token)
    assert "1/1 verify: done" in said and "succeeded" in said
    without = [f"--unset={name}" for name in token]
    other = worker.order("env", *without, "rhas", "status", "--address=http://head:8265")
    assert "a token that this cluster accepts" in refused(other, worker.environment())


def refused(order: list[str], environment: dict[str, str]) -> str:
    import subprocess

    done = subprocess.run(order, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr
