"""Interrupts that are never lost: a signal only sets what loops look at.

An exception that a handler raises comes out wherever the interpreter is, also in a callback or a destructor that
swallows it, and the work goes on. So within `interruptible()` SIGINT (Ctrl-C) and SIGTERM (with which schedulers say
that time is up) are noted, and loops call `check()` where it is safe to end. A second signal ends the process at
once; its children end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it; for SIGTERM too, where it was waited for
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked = False
_children: list[subprocess.Popen[str]] = []


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; raised where that is safe."""


def check() -> None:
    """Raises Interrupted if the process was asked to end since `interruptible()` began."""
    if _asked:
        raise Interrupted


def asked() -> bool:
    """Whether the process was asked to end since `interruptible()` began."""
    return _asked


def ask() -> None:
    """As a signal would, for those that reach other handlers."""
    global _asked
    _asked = True
    for child in _children:
        child.send_signal(signal.SIGTERM)  # where a scheduler started this, SIGINT may be blocked


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals are noted for `check`, and the handlers of before are back at the end. In the main thread only."""
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _noted) for number in SIGNALS}
    _asked = False
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = False


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """For a library that takes SIGTERM while it starts, as ray.init does: it counts as asked, and is ours again after.

    Ray's own handler exits with 15; that of its C++ sets an alarm too, which aborts what is not gone after 3 s.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        signal.alarm(0)
        ask()
    finally:
        signal.signal(signal.SIGTERM, before)
    check()


@contextmanager
def passed_on(child: subprocess.Popen[str]) -> Iterator[None]:
    """A child process, in a session of its own, gets SIGTERM when this process is asked to end."""
    _children.append(child)
    try:
        if _asked:  # before the child was in the list
            child.send_signal(signal.SIGTERM)
        yield
    finally:
        _children.remove(child)


def _noted(number: int, _: FrameType | None) -> None:
    if _asked:
        os._exit(128 + number)
    ask()
