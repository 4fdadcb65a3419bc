"""One run at a time per features folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import InputError, Problem


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`. Raises InputError naming host and process of the run that holds it.

    The kernel frees the lock of a process that died, so a stale file never stands in the way.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise InputError(
                Problem(path, "no other run to be writing here", value=file.read().strip() or "a run")
            ) from error
        file.truncate(0)
        file.write(f"host {socket.gethostname()}, process {os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)
