"""The script under Slurm itself, with scripts in place of Ray and the pipeline: who is signalled when, and how often.

What it takes is seconds; `make cluster` has the same with all of Ray, and needs minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import impossible, machines
from real_slurm import Slurm, absent

SCRIPT = Path(__file__).parents[2] / "docker" / "slurm.sh"
# A node of a cluster is a file with its name, as long as `ray start` runs there.
RAY = """#!/bin/bash
case $1 in
    start) echo "$@" > HERE/nodes/$(hostname); exec sleep infinity;;
    status) for node in HERE/nodes/*; do echo " 1 node_$(basename "$node")"; done;;
esac
"""
# A pipeline that writes down each SIGTERM, and takes a second for its end; `stop` lets it end by itself.
RHAS = """#!PYTHON
import os, signal, sys, time
from pathlib import Path
here, terms = Path("HERE"), []
signal.signal(signal.SIGTERM, lambda *_: terms.append(1))
print("begun with", *sys.argv[1:], flush=True)
while not terms and not (here / "stop").exists():
    time.sleep(0.05)
time.sleep(1.5)
print(f"ends after {len(terms)} signals", flush=True)
sys.exit(130 if terms else 0)
"""

pytestmark = pytest.mark.skipif(bool(impossible() or absent()), reason=impossible() or absent())


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    with machines(tmp_path, "control", "node1", "node2") as (control, *nodes):
        yield Slurm(control, nodes, tmp_path / "state")


def test_a_pipeline_is_signalled_once_whether_it_is_warned_cancelled_or_requeued(
    slurm: Slurm, tmp_path: Path
) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "own" / "bin").mkdir(parents=True)
    for name, text in (("ray", RAY), ("rhas", RHAS)):
        program = tmp_path / "own" / "bin" / name
        program.write_text(text.replace("HERE", str(tmp_path)).replace("PYTHON", sys.executable))
        program.chmod(0o755)
    (tmp_path / "night.yaml").touch()

    def submit(pipeline: str = "night.yaml") -> tuple[str, Path]:
        job = slurm.sbatch(
            "--nodes=2", "--gpus-per-node=2", SCRIPT, pipeline, cwd=tmp_path, RHAS=str(tmp_path / "own")
        )
        return job, tmp_path / f"rhas-{job}.log"

    def until_said(log: Path, what: str, times: int = 1) -> None:
        slurm.until(
            lambda: log.exists() and log.read_text().count(what) == times, f"{log.name} says {what}", 120
        )

    job, log = submit()
    until_said(log, f"begun with run {tmp_path}/night.yaml --address 10.77.0.2:")
    assert "--head" in (tmp_path / "nodes" / "node1").read_text()
    assert "--head" not in (tmp_path / "nodes" / "node2").read_text()
    slurm.say("scancel", job)
    slurm.until(lambda: slurm.state(job) == "CANCELLED", "it was cancelled", 60)
    assert "ends after 1 signals" in log.read_text(), log.read_text()

    job, log = submit()
    until_said(log, "begun with")
    slurm.say("scontrol", "requeue", job)
    until_said(log, "begun with", 2)
    assert slurm.shown(job, "Restarts") == "1" and "ends after 1 signals" in log.read_text()
    slurm.say("scancel", "--batch", "--signal=TERM", job)  # as Slurm does before the time limit
    slurm.until(lambda: slurm.state(job) == "FAILED", "it has ended", 60)
    assert slurm.shown(job, "ExitCode") == "130:0"
    assert log.read_text().count("ends after 1 signals") == 2, log.read_text()
    (tmp_path / "stop").touch()
    slurm.say("scontrol", "requeue", job)
    slurm.until(lambda: slurm.state(job) == "COMPLETED", "it was requeued and has ended", 120)
    assert "ends after 0 signals" in log.read_text()

    job, log = submit("nothing.yaml")
    slurm.until(lambda: slurm.state(job) == "FAILED", "it has ended", 60)
    assert slurm.shown(job, "ExitCode") == "1:0" and "nothing.yaml: No such file" in log.read_text()
