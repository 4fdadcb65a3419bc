"""Peak memory of a command and all that it starts, from /proc: shared pages are split among their users."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.process_tree import process_tree


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
        peak = max(peak, sum(_proportional_bytes(pid) for pid in set(process_tree(process.pid))))
        time.sleep(every_s)
    return process.returncode, peak
