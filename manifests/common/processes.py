"""Processes that others start: what they ask of the system, and whose modules they import.

None takes modules from the folder that the user happens to be in, where an `extract.py` or a `torch.py` may lie.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rhas.manifests.common.errors import InputError, Problem, RhasError
from rhas.manifests.common.interruption import check, children, kill_all

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
# Of a Unix socket's path, the kernel's bound is 107; Ray's is TMPDIR/ray/session_DATE_PID/sockets/plasma_store.
RAY_TMPDIR_BYTES = 107 - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
ENDS_WITH_PARENT = "RHAS_ENDS_WITH_PARENT"  # in the environment of a `rhas` that does


def die_with_parent() -> None:
    """This process is killed when the one that started it ends, however that one ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module in an interpreter like this one; `-P`: not from the current folder."""
    return [sys.executable, "-P", "-u", "-m", module, *arguments]


def check_temporary_folder() -> None:
    """For who is about to start a Ray. Raises InputError where its sockets would have too long a path."""
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    folder = os.environ.get(name, "")
    if len(os.fsencode(folder)) > RAY_TMPDIR_BYTES:
        expected = (
            f"a folder whose path has at most {RAY_TMPDIR_BYTES} bytes, since Ray keeps sockets below it; "
            "RAY_TMPDIR=/tmp is for Ray alone"
        )
        raise InputError(Problem(name, expected, value=folder))


def start_patiently(start: Callable[[], object]) -> None:
    """Starts a Ray, which gives up after 30 s of its own accord; where a machine is busy, that is tried again.

    Raises RhasError after three times, and whatever else goes wrong at once.
    """
    for _ in range(3):
        before = children()
        try:
            start()
            return
        except Exception as error:
            if "timed out during startup" not in str(error):  # Ray has no type of its own for it
                raise
        kill_all(children() - before)  # or what was too slow would slow down the next
        check()
    raise RhasError("Ray didn't start within 30 seconds, three times: this machine is too busy for it")


@contextmanager
def no_working_dir() -> Iterator[dict[str, str]]:
    """A runtime environment for a Ray job that starts within: its workers import nothing from the driver's folder.

    Unless a job has a working directory, Ray puts the driver's current folder first where its workers look for
    modules. This one is empty.
    """
    with tempfile.TemporaryDirectory(prefix="rhas-empty-") as empty:
        yield {"working_dir": empty}
