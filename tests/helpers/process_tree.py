"""The processes that a process has started, directly or not: which there are, and whether they have ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path


def process_tree(pid: int) -> Iterator[int]:
    """`pid` and all its descendants that are alive now."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in found:
            yield from process_tree(int(child))


def command(pid: int) -> str:
    """Its command line; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def processes(name: str) -> list[int]:
    """Processes started by this one, directly or not, whose command line contains `name`."""
    return [pid for pid in process_tree(os.getpid()) if name in command(pid)]


def alive(pid: int) -> bool:
    """Neither gone nor a zombie, which waits for nothing but its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_ended(pids: Iterable[int], within_s: float = 30) -> None:
    """Waits for all of them to end; an AssertionError names those that don't."""
    deadline = time.monotonic() + within_s
    left = list(pids)
    while left := [pid for pid in left if alive(pid)]:
        assert time.monotonic() < deadline, [command(pid).replace("\0", " ") for pid in left]
        time.sleep(0.02)
