"""Processes that others start: what they ask of the system, and whose modules they import.

None takes modules from the folder that the user happens to be in, where an `extract.py` or a `torch.py` may lie.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
ENDS_WITH_PARENT = "RHAS_ENDS_WITH_PARENT"  # in the environment of a `rhas` that does


def die_with_parent() -> None:
    """This process is killed when the one that started it ends, however that one ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module in an interpreter like this one; `-P`: not from the current folder."""
    return [sys.executable, "-P", "-u", "-m", module, *arguments]


@contextmanager
def no_working_dir() -> Iterator[dict[str, str]]:
    """A runtime environment for a Ray job that starts within: its workers import nothing from the driver's folder.

    Unless a job has a working directory, Ray puts the driver's current folder first where its workers look for
    modules. This one is empty.
    """
    with tempfile.TemporaryDirectory(prefix="rhas-empty-") as empty:
        yield {"working_dir": empty}
