"""What a run costs, counted over the processes that made it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rhas.train.benchmark.cost import CostLog
from rhas.train.fitting.loop import Step


def step(number: int) -> Step:
    return Step(number, 9, 1, {}, 0.0)


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("rhas.train.benchmark.cost.time", made)
    return made


def test_what_an_interruption_lost_counts_once(tmp_path: Path, clock: Clock) -> None:
    first = CostLog(tmp_path / "steps.csv")
    first.started(0, 9)
    for number in (1, 2, 3, 4):
        clock.now += 10
        first.stepped(step(number))
    clock.now = 1000  # killed; its last checkpoint is of step 2
    with (tmp_path / "steps.csv").open("a") as file:
        file.write("5,5")  # and half of a line
    second = CostLog(tmp_path / "steps.csv")
    second.started(2, 9)
    clock.now += 7
    second.stepped(step(3))
    clock.now += 1  # a validation
    assert second.ended()["seconds"] == 28
    again = CostLog(tmp_path / "steps.csv")  # killed while it was measured
    again.started(3, 9)
    assert again.ended()["seconds"] == 28


def test_seconds_are_unknown_where_their_record_was_lost(tmp_path: Path, clock: Clock) -> None:
    log = CostLog(tmp_path / "steps.csv")
    log.started(5, 9)
    log.stepped(step(6))
    assert log.ended()["seconds"] is None


def test_the_peak_is_the_processes_own_and_the_highest_of_all(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text("1,2.0,123456.0\n")
    log = CostLog(tmp_path / "steps.csv")
    log.started(1, 9)
    assert log.ended()["peak_mib"] == 123456
    large = bytearray(600 << 20)
    child = "from rhas.train.device import peak_bytes; print(peak_bytes() >> 20)"
    peak_mib = int(subprocess.run([sys.executable, "-c", child], capture_output=True, check=True).stdout)
    assert 100 < peak_mib < 600 and len(large)
