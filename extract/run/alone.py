"""How fast the models are when they are fed from memory: what the rate of a run is held against.

In: the beginning of a window, and what its frames took within the run. Out: the fastest of a few repetitions, in
seconds of a clock and of the CPU, and whether threads had to wait for a core meanwhile: beside a busy machine's other
work no speed is the models' own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.windows import WindowFrames
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.tables.manifest import Person

if TYPE_CHECKING:  # torch takes seconds to import
    from rhas.extract.encode.windows import OnePass

LIMIT_S = 3.0  # for all repetitions
REPETITIONS = 8  # at most
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Sample:
    """The beginning of a window, and the seconds per frame that the window took within the run."""

    window: WindowFrames
    persons: tuple[Person, ...]
    inside: tuple[NDArray[np.bool_], ...]
    boxes: Mapping[str, PersonBoxes] | None
    in_run_s: float
    first: int = 0  # the number of the first frame in its movie
    shots: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Alone:
    """Seconds a frame: within the run, and in the fastest repetition."""

    in_run_s: float
    wall_s: float
    cpu_s: float
    waited: float | None = (
        None  # share of the threads' time that they waited for a core; None: nobody counts it
    )


def sample_of(
    window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]],
    boxes: Mapping[str, PersonBoxes] | None, batch: int, in_run_s: float, first: int = 0,
    shots: NDArray[np.int64] | None = None,
) -> Sample | None:  # fmt: skip
    """A copy of a window's first two batches, or less that can be repeated in time: the whole window would stay in
    shared memory. None where nobody is in them, or a single frame takes too long."""
    frames = min(2 * batch, int(LIMIT_S / 2 / max(in_run_s, 1e-9)))
    part = slice(window.lead, window.lead + frames)
    ok = window.frames.ok[part].copy()
    own = tuple(mask[part].copy() for mask in inside)
    if not frames or not (np.any(own, axis=0) & ok).any():
        return None
    pixels = replace(window.frames, pixels=window.frames.pixels[part].copy(), ok=ok)
    time_s = None if window.time_s is None else window.time_s[part]
    known = None if boxes is None else {who: theirs.part(0, len(ok)) for who, theirs in boxes.items()}
    shown = None if shots is None else shots[part]
    window = WindowFrames(pixels, lead=0, time_s=time_s)
    return Sample(window, tuple(persons), own, known, in_run_s, first, shown)


def measured(models: OnePass, sample: Sample) -> Alone:
    """Repeats the sample until the time is up."""
    until = time.perf_counter() + LIMIT_S
    found: list[Alone] = []
    while True:
        wall, cpu, waits = time.perf_counter(), time.process_time(), _scheduled()
        _, timings = models.process(
            sample.window, sample.persons, sample.inside, sample.boxes, sample.first, sample.shots
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        waited = _waited(waits, _scheduled())
        found.append(Alone(sample.in_run_s, wall / timings.frames, cpu / timings.frames, waited))
        if len(found) == REPETITIONS or time.perf_counter() + wall > until:
            return min(found, key=lambda one: one.wall_s)


def _scheduled() -> dict[str, tuple[int, int]]:
    """Nanoseconds that each thread of this process ran, and waited for a core; nothing where the kernel keeps none."""
    found = {}
    for task in _TASKS.glob("*"):
        with suppress(OSError, ValueError):
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
            found[task.name] = ran, waited
    return found


def _waited(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> float | None:
    there = [(after[name], before.get(name, (0, 0))) for name in after]
    ran = sum(now[0] - then[0] for now, then in there)
    waited = sum(now[1] - then[1] for now, then in there)
    return waited / (ran + waited) if ran > 0 else None
