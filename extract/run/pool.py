"""What the scheduler asks of whatever runs its workers: call, wait, collect. `ray_stage` implements it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from rhas.manifests.common.errors import RhasError


class WorkerLost(RhasError):
    """The worker died during a call; it is being restarted. The call may be made again."""


class Pool(Protocol):
    """Workers by kind. Tickets stand for results of calls that may still be running."""

    @property
    def decoders(self) -> Sequence[Any]: ...

    @property
    def models(self) -> Sequence[Any]: ...

    @property
    def writer(self) -> Any: ...

    def call(self, worker: Any, method: str, *args: Any) -> Any:
        """Starts `worker.method(*args)` and returns its ticket. Tickets among `args` become their results."""

    def call_two(self, worker: Any, method: str, *args: Any) -> tuple[Any, Any]:
        """The same for a method that returns a pair: a ticket for each, so that one can be fetched alone."""

    def wait(self, tickets: Sequence[Any], timeout_s: float) -> list[Any]:
        """Those of `tickets` that are done, after at most `timeout_s` seconds."""

    def result(self, ticket: Any) -> Any:
        """The result of a finished ticket. Raises WorkerLost, or what the worker raised."""


def first_to_answer(pool: Pool, workers: Sequence[Any], method: str, patience_s: float) -> tuple[Any, Any]:
    """Whichever worker answers first, and its answer. Raises what it raises, and WorkerLost if nobody does in time."""
    tickets = {pool.call(worker, method): worker for worker in workers}
    until = time.monotonic() + patience_s
    while tickets and time.monotonic() < until:
        for ticket in pool.wait(list(tickets), 1.0):
            worker = tickets.pop(ticket)
            try:
                return worker, pool.result(ticket)
            except WorkerLost:
                tickets[pool.call(worker, method)] = worker
    raise WorkerLost(f"no worker for {patience_s:.0f} s")


_RAISE = object()


def ask_all(
    pool: Pool, workers: Sequence[Any], method: str, *args: Any, attempts: int, otherwise: Any = _RAISE
) -> list[Any]:
    """The answers of all `workers` to one call, made at the same time; a lost worker is asked again.

    After `attempts` its answer is `otherwise`; without that, WorkerLost is raised.
    """
    tickets = [pool.call(worker, method, *args) for worker in workers]
    answers = []
    for worker, ticket in zip(workers, tickets, strict=True):
        for attempt in range(1, attempts + 1):
            try:
                answers.append(pool.result(ticket))
                break
            except WorkerLost:
                if attempt == attempts:
                    if otherwise is _RAISE:
                        raise
                    answers.append(otherwise)
                else:
                    ticket = pool.call(worker, method, *args)
    return answers
