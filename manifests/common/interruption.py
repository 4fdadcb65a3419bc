"""Interrupts that are never lost: a signal only sets what loops look at.

An exception that a handler raises comes out wherever the interpreter is, also in a callback or a destructor that
swallows it, and the work goes on. So within `interruptible()` SIGINT (Ctrl-C) and SIGTERM (with which schedulers say
that time is up) are noted, and loops call `check()` where it is safe to end. A second signal ends the process at
once, with its children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it; for SIGTERM too, where it was waited for
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REPEATED_S = 0.2  # `timeout`, for one, sends to a process and then to its group: that is one interrupt

_asked_at: float | None = None
_installed = False
_children: list[subprocess.Popen[str]] = []


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; raised where that is safe."""


def check() -> None:
    """Raises Interrupted if the process was asked to end since `interruptible()` began."""
    if _asked_at is not None:
        raise Interrupted


def asked() -> bool:
    """Whether the process was asked to end since `interruptible()` began."""
    return _asked_at is not None


def pause(seconds: float) -> None:
    """Sleeps. Raises Interrupted when the process is asked to end meanwhile."""
    until = time.monotonic() + seconds
    check()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.25))
        check()


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals are noted for `check`, and the handlers of before are back at the end. In the main thread only."""
    global _asked_at, _installed
    if _installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _noted) for number in SIGNALS}
    _installed = True
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked_at, _installed = None, False


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """For a library that takes signals while it starts, as ray.init does with SIGTERM: what handles them stays.

    Ray's handler in Python exits with 15 from wherever it is called. That of its C++ calls ours.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, install = {number: signal.getsignal(number) for number in SIGNALS}, signal.signal

    def keep(number: int, handler: Any) -> Any:
        return before[signal.Signals(number)] if number in before else install(number, handler)

    signal.signal = keep  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = install
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def passed_on(child: subprocess.Popen[str]) -> Iterator[None]:
    """A child process, in a session of its own, gets SIGTERM when this process is asked to end."""
    _children.append(child)
    try:
        if asked():  # before the child was in the list
            child.send_signal(signal.SIGTERM)
        yield
    finally:
        _children.remove(child)


def ignore_from_now_on() -> None:
    """For a process whose work is over: a signal while the interpreter ends would change its exit code."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _noted(number: int, _: FrameType | None) -> None:
    global _asked_at
    signal.alarm(0)  # Ray's handler in C++ sets one, which aborts what isn't gone after 3 s
    if _asked_at is None:
        _asked_at = time.monotonic()
        for child in tuple(_children):
            child.send_signal(signal.SIGTERM)  # where a scheduler started this, SIGINT may be blocked
    elif time.monotonic() - _asked_at > _REPEATED_S:
        kill_all(children())
        os._exit(128 + number)


def children() -> set[int]:
    """The processes that this one has started. Most end with their parent, but not all, nor while they start."""
    found: set[int] = set()
    for own in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            found.update(map(int, own.read_text().split()))
    return found


def kill_all(processes: Iterable[int]) -> None:
    """Ends them at once; those that have ended by themselves are no matter."""
    for process in processes:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _forked() -> None:
    """A forked process, such as one that reads samples ahead, is ended by its parent, for whom Ctrl-C is too."""
    if _installed:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forked)
