"""Peak memory of a command and all that it starts, from /proc: shared pages are split among their users."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in found:
            yield from _tree(int(child))


def _proportional_bytes(pid: int) -> int:
    """Resident bytes, each shared page divided by the number of processes that map it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def peak_bytes(command: Sequence[str], every_s: float = 0.25) -> tuple[int, int]:
    """Runs `command`; returns its exit code and the highest sum over its process tree."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_proportional_bytes(pid) for pid in set(_tree(process.pid))))
        time.sleep(every_s)
    return process.returncode, peak
