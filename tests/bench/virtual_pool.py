"""A pool in virtual time: the real scheduler decides, workers take as long as they are said to, and nobody waits.

In: seconds of each call. Out: `now_s`, which is the time that the run would have taken. The scheduler's own process
and the writer are workers like others, with one thing at a time, so that their limit shows as well. What a network adds
isn't in it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Ticket:
    """A call; `value` is there when it is done."""

    value: Any = None


@dataclass
class VirtualPool:
    """`seconds(method, args)` and `answer(method, args)` are asked once per call; `driver_s`: of a result."""

    models: Sequence[str]
    decoders: Sequence[str]
    seconds: Callable[[str, tuple[Any, ...]], float]
    answer: Callable[[str, tuple[Any, ...]], Any]
    driver_s: float
    writers: Sequence[str] = ("writer",)
    linker: str = "linker"
    now_s: float = 0.0
    free_s: dict[str, float] = field(default_factory=dict)  # when a worker has done all that it was given
    busy_s: dict[str, float] = field(default_factory=dict)
    _order: Any = field(default_factory=itertools.count)
    _running: list[tuple[float, int, Ticket]] = field(default_factory=list)

    def call(self, worker: str, method: str, *args: Any) -> Ticket:
        ticket = Ticket(self.answer(method, args))
        took = self.seconds(method, args)
        ends = max(self.now_s, self.free_s.get(worker, 0.0)) + took
        self.free_s[worker] = ends
        self.busy_s[worker] = self.busy_s.get(worker, 0.0) + took
        heapq.heappush(self._running, (ends, next(self._order), ticket))
        return ticket

    def call_two(self, worker: str, method: str, *args: Any) -> tuple[Ticket, Ticket]:
        return self.call(worker, method, *args), Ticket()

    def wait(self, tickets: Sequence[Ticket], timeout_s: float) -> list[Ticket]:
        """The next that end. The clock jumps there, or as far as the scheduler waits, unless it is late itself."""
        next_s = self._running[0][0] if self._running else float("inf")
        self.now_s = max(self.now_s, min(next_s, self.now_s + timeout_s))
        done = []
        while self._running and self._running[0][0] <= self.now_s:
            done.append(heapq.heappop(self._running)[2])
        return done

    def result(self, ticket: Ticket) -> Any:
        self.now_s += self.driver_s
        return ticket.value
