"""What training a run costs: parameters, seconds, peak memory.

steps.csv has the seconds up to each step, and the peak memory of the process that made it, so that a run that was
killed goes on counting where its weights go on: what it had done beyond its last checkpoint counts once, not twice,
and neither does the start of each process. cost.json ends the run: it holds what was counted at the end of training,
of the run that the weights are from.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.train.device import peak_bytes
from rhas.train.fitting.loop import Callback, Step
from rhas.train.runs.run import read_json


class CostLog(Callback):
    """Writes steps.csv while training goes on."""

    def __init__(self, path: Path):
        self.path = path
        self._step, self._before_s, self._peak_mib = 0, 0.0, 0.0
        self._clock = time.perf_counter()

    def started(self, step: int, steps: int) -> None:
        """Keeps what was counted up to `step`, where training begins or goes on."""
        kept = [row for row in _read(self.path) if row[0] <= step]
        if step == 0:
            self._before_s = 0.0
        else:  # not known if the file's end was lost with the machine
            self._before_s = kept[-1][1] if kept and kept[-1][0] == step else math.nan
        self._peak_mib = max((row[2] for row in kept), default=0.0)
        write_text_atomically(self.path, "".join(_line(*row) for row in kept))
        self._step, self._clock = step, time.perf_counter()

    def stepped(self, step: Step) -> None:
        self._step = step.step
        with self.path.open("a") as file:
            file.write(_line(*self._now()))

    def ended(self) -> dict[str, Any]:
        """Seconds (None if they are not known) and peak MiB of the whole training, its validations included."""
        _, seconds, peak_mib = self._now()
        with self.path.open("a") as file:
            file.write(_line(self._step, seconds, peak_mib))
        return {"seconds": None if math.isnan(seconds) else round(seconds, 2), "peak_mib": round(peak_mib, 1)}

    def _now(self) -> tuple[int, float, float]:
        self._peak_mib = max(self._peak_mib, peak_bytes() / 2**20)
        return self._step, self._before_s + time.perf_counter() - self._clock, self._peak_mib


def write_cost(path: Path, parameters: int, device: str, training: dict[str, Any]) -> None:
    """cost.json."""
    write_text_atomically(path, json.dumps({"parameters": parameters, "device": device, **training}))


def training_cost(path: Path) -> dict[str, Any]:
    """What cost.json says of training. Raises InputError."""
    cost = read_json(path)
    return {name: cost[name] for name in ("seconds", "peak_mib")}


def _line(step: int, seconds: float, peak_mib: float) -> str:
    return f"{step},{seconds:.4f},{peak_mib:.1f}\n"


def _read(path: Path) -> Iterator[tuple[int, float, float]]:
    """The rows that are whole: a kill may leave half of one."""
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
        try:
            step, seconds, peak_mib = line.split(",")
            yield int(step), float(seconds), float(peak_mib)
        except ValueError:
            continue
