"""One run at a time per features folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from manifests.errors import InputError, Problem


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`. Raises InputError naming host and process of the run that holds it.

    The kernel frees the lock of a process that died, so a stale file never stands in the way.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(Problem(path, f"a file that can be written ({error.strerror})")) from error
    with file:
        _take(file, path)
        try:
            yield
        finally:
            file.truncate(0)


def _take(file: TextIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "a run"
        raise InputError(Problem(path, "no other run to be writing here", value=holder)) from error
    except OSError as error:
        raise InputError(Problem(path, f"a file system that can lock files ({error.strerror})")) from error
    file.truncate(0)
    file.write(f"host {socket.gethostname()}, process {os.getpid()}\n")
    file.flush()
