"""The workers of an extraction in this process, one call after the other, with a stand-in for the models: an extraction
in a second or two, for tests of where movies come from and where features go.

In: what `ray_pool` is given. Out: a pool. As a program it extracts: MANIFEST OUT CACHE RANK OF.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rhas.extract.config import ExtractConfig, RunOptions, load_config
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.run.accounts import Summary
from rhas.extract.run.outputs import cache_of
from rhas.extract.run.progress import Snapshot
from rhas.extract.run.run import extract
from rhas.extract.run.workers import DecodeWorker, ModelReport, ReadReport, WindowTask, WriteWorker
from rhas.manifests.common.interruption import interruptible
from rhas.manifests.common.locations import place
from rhas.manifests.shards.format import Window, empty_rows
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.inputs import load_inputs

SETTINGS = ["decode.window_frames=8", "detector.follow_frames=2"]


class Colours:
    """Finds everyone in the middle of every frame; features are the frame's mean colour."""

    def describe(self) -> dict[str, Any]:
        models = {role: {"name": "colours", "hash": "0" * 64} for role in ("detector", "encoder")}
        return {"models": models, "feature_shape": [3], "versions": {}}

    def prepare(self, sentences: Sequence[str]) -> dict[str, Any]:
        return {}

    def encode(self, task: WindowTask, read: ReadReport, frames: WindowFrames) -> tuple[ModelReport, Window]:
        pixels, ok = frames.frames.pixels[task.lead :], frames.frames.ok[task.lead :]
        colour = pixels.reshape(len(ok), -1, 3).mean(axis=1) / 255
        persons = {}
        for person, whole in zip(task.persons, task.inside, strict=True):
            inside = whole[task.lead :]
            if not inside.any():
                continue
            rows = persons[person.person_id] = empty_rows(inside, (3,), FrameStatus.UNDECODABLE)
            there = inside & ok
            rows.status[there], rows.candidates[there] = FrameStatus.DETECTED, 1
            rows.holistic[there] = rows.partial[there] = colour[there]
            rows.box[there], rows.score[there], rows.sure[there] = (0.25, 0.25, 0.75, 0.75), 0.5, 0.5
        lost = ("decode", read.reason) if read.ok < read.wanted else ("", "")
        where = task.movie_id, task.index, task.start, task.stop, task.window_id
        return ModelReport(int(np.count_nonzero(ok)), 0.0, 0.0, 0.0), Window(*where, persons, *lost)

    def speed_alone(self) -> None:
        """Nothing to compare with."""


@dataclass(eq=False)
class Done:
    """A call that has run."""

    value: Any = None
    error: Exception | None = None


class PoolHere:
    """`rhas.extract.run.pool.Pool`."""

    def __init__(self, config: ExtractConfig, options: RunOptions, root: Path):
        follow = config.detector.follow_frames
        self.decoders = [
            DecodeWorker(root, config.decode, follow, options.deadline_s, cache=cache_of(options))
        ]
        self.models = [Colours()]
        self.writers = [WriteWorker(root)]
        self.linker = None
        self.layout = SimpleNamespace(models=1, decoders=1)

    def call(self, worker: Any, method: str, *args: Any) -> Done:
        try:
            return Done(getattr(worker, method)(*(a.value if isinstance(a, Done) else a for a in args)))
        except Exception as error:  # noqa: BLE001  as Ray has it
            return Done(error=error)

    def call_two(self, worker: Any, method: str, *args: Any) -> tuple[Done, Done]:
        done = self.call(worker, method, *args)
        return (done, done) if done.error else (Done(done.value[0]), Done(done.value[1]))

    def wait(self, tickets: Sequence[Done], timeout_s: float) -> list[Done]:
        if not tickets:
            time.sleep(timeout_s)
        return list(tickets)

    def result(self, ticket: Done) -> Any:
        if ticket.error:
            raise ticket.error
        return ticket.value


@contextmanager
def pool_here(config: ExtractConfig, options: RunOptions, root: Path) -> Iterator[PoolHere]:
    pool = PoolHere(config, options, root)
    try:
        yield pool
    finally:
        pool.decoders[0].process.close()


def extract_here(
    manifest: Path, out: str | Path, cache: Path, *settings: str, pause_s: float = 0.0, **options: Any
) -> Summary:
    """An extraction. `pause_s`: after each report of how it goes."""
    config = load_config("tiny-random", [*SETTINGS, *settings])
    run = RunOptions(**{"batch": 8, "max_failure_rate": 0.9, "cache": str(cache), **options})

    def listen(_: Snapshot) -> None:
        time.sleep(pause_s)

    here = SimpleNamespace(ray_pool=pool_here)
    with pytest.MonkeyPatch.context() as patch:  # `patch.dict` would forget what is imported meanwhile
        patch.setitem(sys.modules, "rhas.extract.run.ray_pool", here)
        return extract(load_inputs(manifest), place(str(out)), config, run, listen)


def main() -> None:
    manifest, out, cache, rank, of = sys.argv[1:]
    with interruptible():
        ranks = {"rank": int(rank), "world_size": int(of)}
        sys.exit(extract_here(Path(manifest), out, Path(cache), pause_s=0.2, **ranks).exit_code)


if __name__ == "__main__":
    main()
