"""One run at a time per folder: of features, or of training.

In: the path of a lock file. Out: its folder, made if need be, and the lock, held until the block ends or the
process does. A folder that another run writes into is an InputError that names host and process.

On one machine the kernel keeps the lock (flock), and frees that of a process that died. Network file systems may keep
it on each machine alone, as BeeGFS does by default, and Lustre with `localflock`. So there the file tells of its holder
as well: host, process, boot, and a beat that goes on while it lives. Whoever finds the record of another machine waits
for its next beat, on no clock but its own. Two that begin at the same moment read again what they wrote; a holder whose
record is no longer its own, since it hung for longer than others wait, is ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path
from signal import SIGTERM

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.file_systems import is_local
from rhas.manifests.common.interruption import pause

BEAT_S = 10.0
PATIENCE_S = 3 * BEAT_S  # without a beat, the other is taken to be dead
SETTLE_S = 2.0  # in which what two machines write at the same time is seen by both
_NAME = "host {}, process {}"
_BOOT = Path(
    "/proc/sys/kernel/random/boot_id"
)  # of the kernel, which containers and host names may share or not

log = logging.getLogger(__name__)
_held: set[FileIO] = set()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`. Raises InputError when another run holds it, or when it can't be made.

    The kernel frees the lock of a process that died, so a stale file never stands in the way for long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "r+", opener=_not_through_a_link)
    except OSError as error:
        raise InputError(Problem(path, f"a file that can be written ({error.strerror})")) from error
    with file:
        local = is_local(path)
        _take(file, path, local)
        _held.add(file)
        try:
            with nullcontext() if local else _beating(file, path):
                yield
        finally:
            if not file.closed:  # as it is in a forked process, which says nothing of its parent's lock
                _held.discard(file)
                if local or is_ours(_read(path)):
                    file.truncate(0)


def holders(paths: Sequence[Path]) -> dict[Path, str]:
    """Which of these lock files somebody holds, and who; records of machines that died are waited for all at once."""
    held: dict[Path, str] = {}
    doubtful: dict[Path, str] = {}
    for path in paths:
        with suppress(FileNotFoundError), FileIO(path, "r+", opener=_if_there) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held[path] = _read(path) or "a run"
                continue
            record = _read(path)
            if record and boot() not in record and not is_local(path):
                doubtful[path] = record
    if doubtful and not held:
        log.warning("%s: waiting %g s for a sign of who was writing here", min(doubtful), PATIENCE_S)
        for _ in range(10):
            pause(PATIENCE_S / 10)
            for path, before in doubtful.items():
                if (now := _read(path)) and now != before:
                    held[path] = now
            if held:
                break
    return held


def _if_there(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _not_through_a_link(path: str, flags: int) -> int:
    """The file is emptied and written: through a link in a folder of somebody else's, it could be any file."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _take(file: FileIO, path: Path, local: bool) -> None:
    try:
        # Not `lockf`: that does not hold against this process itself, and ends when it closes the file anywhere.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if local:
            _write(file, _NAME.format(socket.gethostname(), os.getpid()))
            return
        before = _read(path)
        if before and boot() not in before:
            _wait_for_a_beat(path, before)
        _write(file, record(0))
        pause(SETTLE_S)
        if not is_ours(_read(path)):
            raise BlockingIOError
    except BlockingIOError as error:
        raise InputError(
            Problem(path, "no other run to be writing here", value=_read(path) or "a run")
        ) from error
    except OSError as error:
        expected = f"a file system that can lock files ({error.strerror}), such as Lustre mounted with flock"
        raise InputError(Problem(path, expected)) from error


def _wait_for_a_beat(path: Path, before: str) -> None:
    """Raises BlockingIOError if the holder lives."""
    log.warning("%s: %s was writing here; waiting %g s for a sign of it", path, before, PATIENCE_S)
    for _ in range(10):
        pause(PATIENCE_S / 10)
        if _read(path) != before:
            raise BlockingIOError


@contextmanager
def _beating(file: FileIO, path: Path) -> Iterator[None]:
    """Where others can't see the kernel's lock, they see this."""

    def write(record: str) -> None:
        with suppress(ValueError):  # the file has been closed just now
            _write(file, record)

    with beating(path, lambda: _read(path), write):
        yield


@contextmanager
def beating(where: object, read: Callable[[], str], write: Callable[[str], object]) -> Iterator[None]:
    """Writes this process's record anew all the time; ends the process when it reads somebody else's."""
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(BEAT_S):
            with suppress(OSError):  # a server, or a store, may be away for a while
                now = read()
                if now and not is_ours(now):
                    log.error("%s: %s is writing here now, so this run ends", where, now)
                    os.kill(os.getpid(), SIGTERM)
                    return
                count += 1
                write(record(count))

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def record(beat: int) -> str:
    return f"{_NAME.format(socket.gethostname(), os.getpid())}, boot {boot()}, beat {beat:09d}"


def _write(file: FileIO, record: str) -> None:
    """In one write, so that nobody finds an empty file between."""
    data = f"{record}\n".encode()
    os.pwrite(file.fileno(), data, 0)
    file.truncate(len(data))
    os.fsync(file.fileno())


def _read(path: Path) -> str:
    """Opened anew: on NFS that is when a client looks at what others have written. Empty for a file that is gone."""
    with suppress(OSError):
        if path.is_file():  # nothing that would be waited for
            return path.read_bytes()[:300].decode(errors="replace").strip()
    return ""


def is_ours(record: str) -> bool:
    return f"process {os.getpid()}, boot {boot()}," in record


def boot() -> str:
    """What tells this kernel from others; empty outside Linux."""
    with suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def _let_go() -> None:
    """A forked process would share the lock: those that read samples ahead outlive a killed run by seconds."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
