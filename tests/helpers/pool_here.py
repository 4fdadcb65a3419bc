"""The real workers of an extraction in this process, one call after the other: seconds less than Ray takes to start.

In: what `ray_pool` is given. Out: a pool. As a program it extracts: MANIFEST OUT CACHE RANK OF, or `- -` for no rank.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rhas.extract.config import ExtractConfig, RunOptions, load_config
from rhas.extract.run import ray_pool
from rhas.extract.run.accounts import Summary
from rhas.extract.run.outputs import cache_of
from rhas.extract.run.progress import Snapshot
from rhas.extract.run.ray_pool import Layout
from rhas.extract.run.run import extract
from rhas.extract.run.workers import DecodeWorker, LinkWorker, ModelWorker, WriteWorker
from rhas.manifests.common.interruption import interruptible
from rhas.manifests.common.locations import place
from rhas.manifests.tables.inputs import load_inputs

SETTINGS = ["decode.window_frames=8", "detector.follow_frames=2"]


@dataclass(eq=False)
class Done:
    """A call that has run."""

    value: Any = None
    error: Exception | None = None


class PoolHere:
    """`rhas.extract.run.pool.Pool`."""

    def __init__(self, config: ExtractConfig, options: RunOptions, root: Path):
        cache = cache_of(options)
        self.decoders = [
            DecodeWorker(root, config.decode, config.detector.follow_frames, options.deadline_s, cache=cache)
        ]
        self.models = [ModelWorker(config, options.batch, "cpu")]
        self.writer = WriteWorker(root)
        self.linker = LinkWorker(root, config) if config.tracks.two_passes else None
        self.layout = Layout(1, 1, 1, 0, 1)

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
    """An extraction with the small random models. `pause_s`: after each report of how it goes."""
    config = load_config("tiny-random", [*SETTINGS, *settings])
    run = RunOptions(**{"batch": 8, "max_failure_rate": 0.9, "cache": str(cache), **options})

    def listen(_: Snapshot) -> None:
        time.sleep(pause_s)

    with patch.object(ray_pool, "ray_pool", pool_here):
        return extract(load_inputs(manifest), place(str(out)), config, run, listen)


def main() -> None:
    manifest, out, cache, rank, of = sys.argv[1:]
    ranks = {} if rank == "-" else {"rank": int(rank), "world_size": int(of)}
    with interruptible():
        sys.exit(extract_here(Path(manifest), out, Path(cache), pause_s=0.2, **ranks).exit_code)


if __name__ == "__main__":
    main()
