"""Runs the workers as processes of this machine, without Ray: where one model worker is all there is to feed.

Starting and stopping a Ray takes longer than a short movie. The workers, and what the scheduler sees of them, are the
same: a worker that is lost is started again, and the calls that it had are reported as lost. What workers send each
other stays in the anonymous files that they packed it into (`parcels`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import wait as ready
from pathlib import Path
from typing import IO, Any

from rhas.extract.config import ExtractConfig, RunOptions
from rhas.extract.run.layout import here, lay_out, made_of, threads
from rhas.extract.run.parcels import Parcel, receive, send
from rhas.extract.run.pool import WorkerLost, WorkerUnfit, telling_why, unfit
from rhas.manifests.common.interruption import check
from rhas.manifests.common.processes import python_command

_GONE_S = 0.5  # a process whose socket is closed has ended, or is about to


@dataclass(eq=False)
class Ticket:
    """Of a call's result, or of one of its two: there once `answer` is a parcel or an error."""

    answer: Parcel | Exception | None = None


@dataclass(eq=False)
class LocalWorker:
    """A worker, and its process while it has one."""

    name: str
    kind: str  # of `rhas.extract.run.workers`
    arguments: tuple[Any, ...]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    socket: socket.socket | None = None
    errors: IO[bytes] | None = None  # what the process writes to stderr
    made: bool = False  # it has said that it could be
    calls: dict[int, tuple[Ticket, ...]] = field(default_factory=dict)


class LocalPool:
    """`rhas.extract.run.pool.Pool` on processes."""

    def __init__(self, config: ExtractConfig, options: RunOptions, root: Path):
        self.layout = lay_out(options, *here())
        self._numbers = count()
        arguments = made_of(config, options, root)

        def worker(name: str, kind: str, cpus: int = 1) -> LocalWorker:
            return LocalWorker(name, kind, arguments[kind], threads(cpus))

        self.models: Sequence[LocalWorker] = [
            worker(f"model {i}", "ModelWorker", self.layout.model_cpus) for i in range(self.layout.models)
        ]
        self.decoders: Sequence[LocalWorker] = [
            worker(f"decoder {i}", "DecodeWorker") for i in range(self.layout.decoders)
        ]
        self.writers: Sequence[LocalWorker] = [
            worker(f"writer {i}", "WriteWorker") for i in range(self.layout.writers)
        ]
        self.linker = worker("linker", "LinkWorker") if config.tracks.two_passes else None

    @property
    def _workers(self) -> list[LocalWorker]:
        linker = [] if self.linker is None else [self.linker]
        return [*self.decoders, *self.models, *self.writers, *linker]

    def call(self, worker: LocalWorker, method: str, *args: Any) -> Ticket:
        (ticket,) = self._call(worker, method, args, 1)
        return ticket

    def call_two(self, worker: LocalWorker, method: str, *args: Any) -> tuple[Ticket, Ticket]:
        first, second = self._call(worker, method, args, 2)
        return first, second

    def wait(self, tickets: Sequence[Ticket], timeout_s: float) -> list[Ticket]:
        done: list[Ticket] = []
        for patience_s in (0.0, timeout_s):
            if not done:
                self._hear(patience_s)
                done = [ticket for ticket in tickets if ticket.answer is not None]
        return done

    def result(self, ticket: Ticket) -> Any:
        assert ticket.answer is not None
        if isinstance(ticket.answer, Exception):
            raise ticket.answer
        return ticket.answer.open()

    def close(self) -> None:
        for worker in self._workers:
            self._end(worker)

    # --- the processes

    def _call(
        self, worker: LocalWorker, method: str, args: Sequence[Any], results: int
    ) -> tuple[Ticket, ...]:
        tickets = tuple(Ticket() for _ in range(results))
        try:
            parcels = [self._packed(value) for value in args]
        except Exception as error:  # noqa: BLE001  it was lost, or is an error itself
            for ticket in tickets:
                ticket.answer = error
            return tickets
        if worker.process is not None and worker.process.poll() is not None:
            self._lose(worker)
        if worker.process is None:
            self._start(worker)
        self._ask(worker, method, parcels, tickets)
        return tickets

    def _packed(self, value: Any) -> Parcel:
        if not isinstance(value, Ticket):
            return Parcel.of(value)
        while value.answer is None:
            check()
            self._hear(_GONE_S)
        if isinstance(value.answer, Exception):
            raise value.answer
        return value.answer

    def _start(self, worker: LocalWorker) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker.errors = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  lives as long as the process
        with theirs:
            worker.process = subprocess.Popen(
                python_command("rhas.extract.run.local_worker", worker.kind, str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=worker.errors,
                env=os.environ | worker.environment,
            )
        worker.socket, worker.made = ours, False
        self._ask(worker, "", [Parcel.of(value) for value in worker.arguments], (Ticket(),))

    def _ask(
        self, worker: LocalWorker, method: str, parcels: Sequence[Parcel], tickets: tuple[Ticket, ...]
    ) -> None:
        number = next(self._numbers)
        worker.calls[number] = tickets
        assert worker.socket is not None
        with suppress(OSError):  # it has just ended, which is heard of next
            send(worker.socket, (number, method, len(tickets) == 2), parcels)

    def _hear(self, timeout_s: float) -> None:
        """Takes the answers that are there, and after at most so many seconds those that came first."""
        open_sockets = {
            worker.socket: worker for worker in self._workers if worker.socket is not None and worker.calls
        }
        if not open_sockets:
            time.sleep(timeout_s)
            return
        for heard in ready(list(open_sockets), timeout_s):
            worker = open_sockets[heard]  # type: ignore[index]
            message = receive(heard)  # type: ignore[arg-type]
            if message is None:
                self._lose(worker)
                continue
            (number, how), parcels = message
            tickets = worker.calls.pop(number)
            worker.made = worker.made or how != "unfit"
            if how == "unfit":
                self._fail(worker, unfit(parcels[0].open()))
            for i, ticket in enumerate(tickets):
                ticket.answer = parcels[i] if how == "told" else parcels[0].open()

    def _lose(self, worker: LocalWorker) -> None:
        """The process has ended; its calls are lost, and the next one starts another."""
        assert worker.process is not None and worker.errors is not None
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(_GONE_S)
        code = worker.process.poll()
        worker.errors.seek(0)
        told = worker.errors.read().decode(errors="replace")
        made = worker.made
        self._end(worker)
        how = "" if code is None else f" ({'signal' if code < 0 else 'exit code'} {abs(code)})"
        lines = told.strip().splitlines()
        if code is not None and code > 0 and not made and lines:  # it can't even be imported
            self._fail(worker, WorkerUnfit(lines[-1], told))
        else:
            self._fail(worker, WorkerLost(f"worker lost: its process ended{how}"))

    def _fail(self, worker: LocalWorker, error: Exception) -> None:
        for tickets in worker.calls.values():
            for ticket in tickets:
                ticket.answer = error
        worker.calls.clear()

    def _end(self, worker: LocalWorker) -> None:
        if worker.process is not None:
            worker.process.kill()
            worker.process.wait()
            worker.process = None
        for held in (worker.socket, worker.errors):
            if held is not None:
                held.close()
        worker.socket = worker.errors = None


@contextmanager
def local_pool(config: ExtractConfig, options: RunOptions, root: Path) -> Iterator[LocalPool]:
    """A pool of processes, which end with it."""
    pool = LocalPool(config, options, root)
    try:
        with telling_why(root):
            yield pool
    finally:
        pool.close()
