"""A pool without processes, clocks or models: calls run at `wait`, one worker after another, in a seeded order.

A worker runs its calls in the order in which they were made, as an actor does; when it dies, all its
unfinished calls are lost. The pool checks what every scheduler must keep to (`limits`) and logs what ran.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from made_index import made_index

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError
from rhas.extract.decode.sampling import Grid, sample
from rhas.extract.run.pool import WorkerLost
from rhas.extract.run.workers import ModelReport, ReadReport, WindowTask
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.tables.manifest import Movie, Person

HEIGHT, WIDTH = 480, 640
FRAME_BYTES = HEIGHT * WIDTH * 3


def make_movie(movie_id: str, persons: Sequence[tuple[float, float]] = ((0.0, 1e9),)) -> Movie:
    """A movie with one person per interval in seconds; its frames last a second each."""
    people = (Person(movie_id, f"p{i}", f"person {i}", a, b) for i, (a, b) in enumerate(persons))
    return Movie(movie_id, Path(f"/movies/{movie_id}"), tuple(people))


def make_header(movie: Movie, frames: int, window_frames: int) -> MovieHeader:
    numbers = np.arange(frames)
    return MovieHeader(
        movie_id=movie.movie_id, video=str(movie.video), identity={"video": movie.movie_id, "persons": {}},
        config={}, models={}, versions={}, source={"frames": frames, "height": HEIGHT, "width": WIDTH}, fps=1.0,
        window_frames=window_frames, time_s=numbers.astype(float), source_frame=numbers, persons=movie.persons,
        feature_shape=(3,),
    )  # fmt: skip


@dataclass(eq=False)
class Ticket:
    """A call, or (with `first`) the second half of its result."""

    worker: str = ""
    method: str = ""
    args: tuple[Any, ...] = ()
    first: Ticket | None = None
    state: str = "waiting"  # then done, raised or lost
    value: Any = None


@dataclass
class FakePool:
    """`movies` maps movie ids to their numbers of frames.

    `fault(method, movie_id, window)` is asked before each call runs. It returns None, an exception to raise,
    "lost" (the worker dies before the call), "lost late" (just after it) or a ReadReport to return.
    Workers in `slow` run only when no other has anything to do, those for whom `absent` holds do nothing.
    """

    movies: dict[str, int]
    decoders: Sequence[str] = ("d0",)
    models: Sequence[str] = ("m0",)
    memory_bytes: int = 1 << 40
    seed: int = 0
    fault: Callable[[str, str, int], Any] = lambda method, movie_id, window: None
    slow: Sequence[str] = ()
    absent: Callable[[str], bool] = lambda worker: False
    writers: Sequence[str] = ("writer",)
    linker: str = "linker"
    log: list[tuple[str, str, str, int]] = field(default_factory=list)  # worker, method, movie, window
    written: Counter[tuple[str, int]] = field(default_factory=Counter)
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)  # written by a pass before
    linked: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    losses: Counter[tuple[str, int]] = field(default_factory=Counter)  # calls lost, by movie and window
    sealed: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    most_open: int = 0  # movies probed and not yet sealed
    most_unwritten: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.queues: dict[str, deque[Ticket]] = {
            w: deque() for w in (*self.decoders, *self.models, *self.writers, self.linker)
        }
        self.bytes: Counter[tuple[str, int]] = Counter()
        self.open = self.unwritten = self.waits = 0

    # --- what a scheduler sees

    def call(self, worker: str, method: str, *args: Any) -> Ticket:
        expected = {
            "d": ("ready", "probe", "read"), "m": ("describe", "look", "encode"), "w": ("write", "seal"),
            "l": ("link",),
        }  # fmt: skip
        assert method in expected[worker[0]]
        ticket = Ticket(worker, method, args)
        queue = self.queues[worker]
        queue.append(ticket)
        assert len(queue) <= {"d": 1, "m": 2, "w": 1 << 30, "l": 1 << 30}[worker[0]], (
            f"{worker} was given too much"
        )
        movie_id, window = _subject(ticket)
        if method == "probe":
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        if method == "read":
            self.bytes[movie_id, window] += args[0].frame_bytes
            assert self.bytes.total() <= self.memory_bytes or len(+self.bytes) == 1, (
                "too many bytes in flight"
            )
        return ticket

    def call_two(self, worker: str, method: str, *args: Any) -> tuple[Ticket, Ticket]:
        ticket = self.call(worker, method, *args)
        return ticket, Ticket(first=ticket)

    def wait(self, tickets: Sequence[Ticket], timeout_s: float) -> list[Ticket]:
        assert timeout_s > 0
        self.waits += 1
        assert self.waits < 5_000, "the scheduler goes round in circles"
        for worker in filter(self.absent, self.queues):
            for ticket in [t for t in self.queues[worker] if t.method not in ("ready", "describe")]:
                ticket.state = "lost"
                self.losses[_subject(ticket)] += 1
                self.queues[worker].remove(ticket)
        for _ in range(self.random.choice((1, 1, 3))):
            busy = [worker for worker, queue in self.queues.items() if queue and not self.absent(worker)]
            quick = [worker for worker in busy if worker not in self.slow] or busy
            if quick:
                self._run(self.random.choice(quick))
            else:
                time.sleep(0.001)
        done = [ticket for ticket in tickets if ticket.state != "waiting"]
        self.random.shuffle(done)
        return done

    def result(self, ticket: Ticket) -> Any:
        assert ticket.state != "waiting"
        if ticket.method in ("look", "encode") or (ticket.method == "read" and ticket.state != "done"):
            del self.bytes[_subject(ticket)]
        if ticket.method == "probe" and ticket.state != "done":
            self.open -= 1
        if ticket.state == "lost":
            raise WorkerLost("worker lost")
        if ticket.state == "raised":
            raise ticket.value
        return ticket.value[0] if ticket.method in ("read", "look", "encode") else ticket.value

    # --- what its workers do

    def _run(self, worker: str) -> None:
        ticket = self.queues[worker][0]
        movie_id, window = _subject(ticket)
        self.log.append((worker, ticket.method, movie_id, window))
        fault = self.fault(ticket.method, movie_id, window)
        if ticket.method == "probe" and movie_id not in self.movies:
            fault = DecodeError("no such movie")
        if fault != "lost":
            self._work(ticket, fault)
        if fault in ("lost", "lost late"):
            for lost in self.queues[worker]:
                lost.state = "lost"
                self.losses[_subject(lost)] += 1
            self.queues[worker].clear()
        else:
            self.queues[worker].popleft()

    def _work(self, ticket: Ticket, fault: Any) -> None:
        movie_id, window = _subject(ticket)
        ticket.state = "done"
        if ticket.method in ("ready", "describe"):
            ticket.value = ticket.worker
        elif isinstance(fault, Exception):
            ticket.state, ticket.value = "raised", fault
        elif ticket.method == "probe":
            ticket.value = self._probe(movie_id)
        elif ticket.method == "read":
            task: WindowTask = ticket.args[0]
            n = task.stop - task.start
            report = fault if isinstance(fault, ReadReport) else ReadReport(n, n, "", False, 0.5)
            ticket.value = report, ("frames", movie_id, window)
        elif ticket.method in ("look", "encode"):
            task, report, frames = ticket.args
            assert frames.first.value[1] == ("frames", movie_id, window)
            assert (task.look is not None) == (ticket.method == "look")
            made = SimpleNamespace(id=(movie_id, window), method=ticket.method)
            ticket.value = ModelReport(report.ok, 0.25, 0.125, 0.5), made
            self.unwritten += 1
            self.most_unwritten = max(self.most_unwritten, self.unwritten)
        elif ticket.method == "write":
            ticket.value = 0.0625
            kept = self.written if ticket.args[0].first.value[1].method == "encode" else self.seen
            kept[movie_id, window] += 1
            self.unwritten -= 1
        elif ticket.method == "link":
            assert movie_id not in self.linked, "linked twice"
            ticket.value = 0.0625, dict(ticket.args[1])
            self.linked[movie_id] = dict(ticket.args[1])
        else:
            assert movie_id not in self.sealed, "sealed twice"
            ticket.value = 0.0625, None
            self.sealed[movie_id] = dict(ticket.args[1])
            self.open -= 1

    def _probe(self, movie_id: str) -> tuple[MovieIndex, Grid]:
        index = made_index(self.movies[movie_id], 1.0, HEIGHT, WIDTH)
        return index, sample(index.start_s, index.end_s, None)


def _subject(ticket: Ticket) -> tuple[str, int]:
    """The movie and window (-1: none) that a call is about."""
    if ticket.method in ("ready", "describe"):
        return "", -1
    first = ticket.args[0]
    if ticket.method == "probe":
        return first, -1
    if ticket.method in ("seal", "link"):
        return first.movie_id, -1
    if ticket.method == "write":
        return first.first.value[1].id
    return first.movie_id, first.index
