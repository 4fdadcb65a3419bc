"""One run at a time per folder: of features, or of training.

In: the path of a lock file. Out: its folder, made if need be, and the lock, held until the block ends or the
process does. A folder that another run writes into is an InputError that names host and process.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem

_held: set[FileIO] = set()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`. Raises InputError when another run holds it, or when it can't be made.

    The kernel frees the lock of a process that died, so a stale file never stands in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a+", opener=_not_through_a_link)
    except OSError as error:
        raise InputError(Problem(path, f"a file that can be written ({error.strerror})")) from error
    with file:
        _take(file, path)
        _held.add(file)
        try:
            yield
        finally:
            if not file.closed:  # as it is in a forked process, which says nothing of its parent's lock
                _held.discard(file)
                file.truncate(0)


def _not_through_a_link(path: str, flags: int) -> int:
    """The file is emptied and written: through a link in a folder of somebody else's, it could be any file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _take(file: FileIO, path: Path) -> None:
    try:
        # Not `lockf`: that does not hold against this process itself, and ends when it closes the file anywhere.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"host {socket.gethostname()}, process {os.getpid()}\n".encode())
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read(200).decode(errors="replace").strip() or "a run"
        raise InputError(Problem(path, "no other run to be writing here", value=holder)) from error
    except OSError as error:
        raise InputError(Problem(path, f"a file system that can lock files ({error.strerror})")) from error


def _let_go() -> None:
    """A forked process would share the lock: those that read samples ahead outlive a killed run by seconds."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
