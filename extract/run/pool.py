"""What the scheduler asks of whatever runs its workers: call, wait, collect. `local_pool` and `ray_pool` do it."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

from rhas.extract.run.jobs import one_line
from rhas.manifests.common.errors import RhasError
from rhas.manifests.common.interruption import check
from rhas.manifests.common.secrets import redacted

log = logging.getLogger(__name__)

POLL_S = 0.25
COLOURS = re.compile("\x1b\\[[0-9;]*m")  # in tracebacks that come from workers


class WorkerLost(RhasError):
    """The worker died during a call; it is being restarted. The call may be made again."""


class WorkerUnfit(RhasError):
    """The worker can't begin, and won't the next time: what it raised when it was made, or before its first work."""

    def __init__(self, reason: str, traceback: str = ""):
        super().__init__(f"a worker can't begin: {reason}")
        self.reason, self.traceback = reason, traceback


def refuse(error: Exception) -> NoReturn:
    """A worker that can't begin, one without a GPU say, is no movie's fault. Raises InputError or WorkerUnfit."""
    if isinstance(error, RhasError):
        raise error
    raise unfit(error) from error


def unfit(error: Exception) -> WorkerUnfit:
    """What keeps a worker from beginning, with the traceback that came with it."""
    return WorkerUnfit(one_line(error), "\n".join(getattr(error, "__notes__", [])))


@contextmanager
def telling_why(root: Path) -> Iterator[None]:
    """The traceback of a worker that is unfit goes into a file of the features folder, which the error names."""
    try:
        yield
    except WorkerUnfit as error:
        told = root / "worker-error.txt"
        told.write_text(redacted(COLOURS.sub("", error.traceback)), encoding="utf-8")
        raise WorkerUnfit(f"{error.reason} (its traceback is in {told})") from error


class Pauses:
    """How long to wait before a worker that was lost is asked again: longer each time, until it answers."""

    FIRST_S, LONGEST_S = 1.0, 60.0

    def __init__(self) -> None:
        self._losses: Counter[Any] = Counter()

    def lost(self, worker: Any, reason: str) -> float:
        """Seconds: none the first time, which is told; then 1, 2, 4 … 60."""
        losses = self._losses[worker]
        self._losses[worker] += 1
        if not losses:
            log.warning("%s: %s; asked again", getattr(worker, "name", worker), reason)
            return 0.0
        return min(self.FIRST_S * 2.0 ** (losses - 1), self.LONGEST_S)

    def answered(self, worker: Any) -> None:
        """It is there: the next loss is a first one again."""
        self._losses.pop(worker, None)


class Pool(Protocol):
    """Workers by kind. Tickets stand for results of calls that may still be running."""

    @property
    def decoders(self) -> Sequence[Any]: ...

    @property
    def models(self) -> Sequence[Any]: ...

    @property
    def writers(self) -> Sequence[Any]: ...

    @property
    def linker(self) -> Any:
        """None where nothing is tracked."""

    def call(self, worker: Any, method: str, *args: Any) -> Any:
        """Starts `worker.method(*args)` and returns its ticket. Tickets among `args` become their results."""

    def call_two(self, worker: Any, method: str, *args: Any) -> tuple[Any, Any]:
        """The same for a method that returns a pair: a ticket for each, so that one can be fetched alone."""

    def wait(self, tickets: Sequence[Any], timeout_s: float) -> list[Any]:
        """Those of `tickets` that are done, after at most `timeout_s` seconds."""

    def result(self, ticket: Any) -> Any:
        """The result of a finished ticket. Raises WorkerLost, WorkerUnfit, or what the worker raised."""


def first_to_answer(pool: Pool, workers: Sequence[Any], method: str, patience_s: float) -> tuple[Any, Any]:
    """Whichever worker answers first, and its answer.

    Raises InputError or WorkerUnfit if it can't begin, and WorkerLost if nobody answers in time.
    """
    pauses, until = Pauses(), time.monotonic() + patience_s
    ask_at = dict.fromkeys(workers, 0.0)  # those that aren't being asked, and when they will be
    tickets: dict[Any, Any] = {}
    while (now := time.monotonic()) < until:
        check()
        for worker in [worker for worker, at in ask_at.items() if at <= now]:
            del ask_at[worker]
            tickets[pool.call(worker, method)] = worker
        if not tickets:
            time.sleep(POLL_S)
        for ticket in pool.wait(list(tickets), POLL_S):
            worker = tickets.pop(ticket)
            try:
                return worker, pool.result(ticket)
            except WorkerLost as error:
                ask_at[worker] = time.monotonic() + pauses.lost(worker, str(error))
            except Exception as error:  # noqa: BLE001  whatever keeps it from beginning
                refuse(error)
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
                while not pool.wait([ticket], POLL_S):
                    check()
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
