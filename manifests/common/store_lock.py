"""One writer at a time below an address of an object store: as `rhas.manifests.common.lock`, where there are no locks.

In: the address of a lock file, and those of others that mustn't be held either. Out: the lock, held until the block
ends. The file tells who holds it, with a beat that goes on while that one lives; who finds one waits for the next beat,
on no clock but its own. Stores show what was written last to whoever reads next, so of two that begin at once both read
again what they wrote, and one is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rhas.manifests.common import lock
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import pause
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.stores import read_small, remove, write_over

log = logging.getLogger(__name__)


@contextmanager
def store_locked(own: Remote, others: Callable[[], Sequence[Remote]] = lambda: ()) -> Iterator[None]:
    """Holds `own`. Raises InputError while somebody else holds it or one of the `others`; OSError as stores do."""
    _wait_for_beats([own, *others()])
    _write(lock.record(0), own)
    try:
        pause(lock.SETTLE_S)
        if _read(own) != lock.record(0):
            raise _refusal(own, _read(own))
        _wait_for_beats(others())
        with lock.beating(own, lambda: _read(own), lambda record: _write(record, own)):
            yield
    finally:
        with suppress(OSError):
            if lock.is_ours(_read(own)):
                remove(own)


def _wait_for_beats(locks: Sequence[Remote]) -> None:
    """Raises InputError for a lock whose holder lives."""
    found = {
        lock_file: record for lock_file in locks if (record := _read(lock_file)) and not _is_over(record)
    }
    if not found:
        return
    log.warning(
        "%s: somebody was writing here; waiting %g s for a sign of them", next(iter(found)), lock.PATIENCE_S
    )
    for _ in range(10):
        pause(lock.PATIENCE_S / 10)
        for lock_file, before in found.items():
            if (now := _read(lock_file)) and now != before:
                raise _refusal(lock_file, now)


def _refusal(lock_file: Remote, who: str) -> InputError:
    return InputError(Problem(str(lock_file), "no other run to be writing here", value=who))


def _write(record: str, lock_file: Remote) -> None:
    write_over(record.encode(), lock_file)


def _read(lock_file: Remote) -> str:
    try:
        return read_small(lock_file)[:300].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _is_over(record: str) -> bool:
    """Whether it is of a process of this machine that has ended: nobody needs to wait for that one."""
    process = record.partition("process ")[2].partition(",")[0]
    here = lock.boot() and f"boot {lock.boot()}," in record
    return bool(here and process.isdecimal() and not Path(f"/proc/{process}").exists())
