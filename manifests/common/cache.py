"""What was fetched from stores, kept on this machine: so much at most, whatever was used longest ago goes first.

In: a `Remote`. Out: a path that holds the whole file while it is used, with the key of the store (`file_key`), so that
what is known of a file by its key holds for both. All processes of a user on a machine share the folder: what one
fetches, the others wait for. Files in use stay: who needs room that they take waits, who only prefetches goes
without.

    CACHE/NAME.mp4         a file; NAME is of address, size and tag, its time the tag, its time of access the last use
    CACHE/NAME.mp4.part    the same while it is fetched; as large as it will be, so that room is kept
    CACHE/NAME.mp4.lock    held (flock) shared by who uses it, alone by who fetches or removes it
    CACHE/room             held while room is made
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.digest import file_digest
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.common.stores import Facts, StoreError, download, facts_of

FOLDER, GIB = "RHAS_CACHE", "RHAS_CACHE_GIB"  # in the environment, where nothing else is said
SHARE = 0.5  # of the disk's free room, by default
WAIT_S = 3600.0  # for room that others use
POLL_S = 0.25
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")

log = logging.getLogger(__name__)


class NoRoom(StoreError):
    """A file for which the cache has no room, now or at all."""


@dataclass(frozen=True)
class FileCache:
    """`folder` and `most_bytes`: None is what the environment says, or the default (see `rhas extract --help`)."""

    folder: Path | None = None
    most_bytes: int | None = None

    @contextmanager
    def local(self, place: Place, key: tuple[int, int] | None = None, digest: str = "") -> Iterator[Path]:
        """The file, here until the block ends. `key`, `digest`: what it has to be, where that is known.

        Raises what `facts_of` and `download` do, NoRoom, and StoreError for a file that has changed.
        """
        if isinstance(place, Path):
            yield place
            return
        facts = None
        if key is None:
            facts = facts_of(place)
            key = facts.key
        path = self._path(place, key)
        while True:
            with _locked(path, fcntl.LOCK_SH):
                if path.exists():
                    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
                    yield path
                    return
            with _locked(path, fcntl.LOCK_EX):
                if not path.exists():
                    self._fetch(place, facts or _unchanged(place, key), path, digest, WAIT_S)

    def prefetch(self, remote: Remote) -> threading.Thread:
        """Fetches a file in a thread, if there is room and nobody does so already. Failing is left to who needs it."""

        def fetch() -> None:
            with suppress(OSError, InputError):
                facts = facts_of(remote)
                path = self._path(remote, facts.key)
                with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if not path.exists():
                        self._fetch(remote, facts, path, "", 0.0)

        thread = threading.Thread(target=fetch, name="prefetch", daemon=True)
        thread.start()
        return thread

    def root(self) -> Path:
        """The folder, made if need be. Raises InputError for one that is somebody else's."""
        given = self.folder or (Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None)
        # In a folder for everybody its name can be foreseen.
        folder = given or Path(tempfile.gettempdir()) / f"rhas-cache-{os.getuid()}"
        folder = folder.expanduser()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat() if given is None else folder.stat()
        except OSError as error:
            raise InputError(Problem(folder, f"a folder to fetch movies to ({error.strerror})")) from error
        if not stat.S_ISDIR(status.st_mode) or (given is None and status.st_uid != os.getuid()):
            raise InputError(Problem(folder, f"a folder of this user's own; or give another in {FOLDER}"))
        return folder

    def bound(self) -> int:
        """Bytes that the folder may hold. Raises InputError for a bound that is no number."""
        if self.most_bytes is not None:
            return self.most_bytes
        if given := os.environ.get(GIB):
            try:
                return int(float(given) * 2**30)
            except ValueError:
                raise InputError(Problem(GIB, "a number of GiB", value=given)) from None
        held = sum(size for _, size, _ in self._held())
        return int(SHARE * (shutil.disk_usage(self.root()).free + held))

    # --- files

    def _path(self, remote: Remote, key: tuple[int, int]) -> Path:
        # The address with its query: without, it may be that of many files. The suffix, as FFmpeg goes by it.
        name = hashlib.blake2b(f"{remote.url} {key}".encode(), digest_size=16).hexdigest()
        suffix = remote.suffix if _SUFFIX.fullmatch(remote.suffix) else ""
        return self.root() / f"{name}{suffix}"

    def _fetch(self, remote: Remote, facts: Facts, path: Path, digest: str, wait_s: float) -> None:
        part = path.with_name(f"{path.name}.part")
        try:
            self._make_room(remote, part, facts.size, wait_s)
            log.info("fetching %s, %d bytes", remote, facts.size)
            download(remote, facts, part)
            if digest and (found := file_digest(part)) != digest:
                reason = f"the file has changed: its bytes have the digest {found}, not {digest}"
                raise StoreError(errno.EIO, reason, str(remote))
            os.utime(part, ns=(time.time_ns(), facts.key[1]))
            if part.stat().st_mtime_ns != facts.key[1]:
                expected = (
                    "a file system that keeps times of files to the ns, for what is fetched from stores"
                )
                raise InputError(Problem(path.parent, expected))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, remote: Remote, part: Path, size: int, wait_s: float) -> None:
        """Creates the file at its size. Raises NoRoom, at once where it can't ever have any."""
        bound, until = self.bound(), time.monotonic() + wait_s
        if size > bound:
            reason = (
                f"it has {size / 2**30:.2f} GiB, and the cache for fetched movies holds {bound / 2**30:.2f}: "
                f"--cache-gib, or {GIB}"
            )
            raise NoRoom(errno.ENOSPC, reason, str(remote))
        while True:
            with _flock(self.root() / "room", fcntl.LOCK_EX):
                held = self._held()
                free = bound - sum(bytes_ for _, bytes_, _ in held)
                for path, bytes_, _ in sorted(held, key=lambda one: one[2]):
                    if free >= size:
                        break
                    if _remove_unused(path):
                        free += bytes_
                if free >= size:
                    with part.open("wb") as file:
                        file.truncate(size)
                    return
            if time.monotonic() >= until:
                reason = f"other movies are using the cache of {bound / 2**30:.2f} GiB: --cache-gib, or {GIB}"
                raise NoRoom(errno.ENOSPC, reason, str(remote))
            time.sleep(POLL_S)

    def _held(self) -> list[tuple[Path, int, int]]:
        """Files, those that are being fetched too: path, bytes, when last used in ns."""
        found = []
        for path in self.root().iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and path.suffix != ".lock" and path.name != "room":
                    found.append((path, status.st_size, status.st_atime_ns))
        return found


def _unchanged(remote: Remote, key: tuple[int, int]) -> Facts:
    facts = facts_of(remote)
    if facts.key != key:
        raise StoreError(errno.EIO, "the file has changed since it was opened", str(remote))
    return facts


def _remove_unused(path: Path) -> bool:
    """Removes a file, or what is left of one that a killed process was fetching, unless somebody holds it."""
    try:
        with _locked(path.with_name(path.name.removesuffix(".part")), fcntl.LOCK_EX | fcntl.LOCK_NB) as lock:
            path.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path, how: int) -> Iterator[Path]:
    """Holds the lock of a file. Raises BlockingIOError with LOCK_NB."""
    with _flock(path.with_name(f"{path.name}.lock"), how) as lock:
        yield lock


@contextmanager
def _flock(lock: Path, how: int) -> Iterator[Path]:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            try:
                same = os.fstat(descriptor).st_ino == lock.stat().st_ino
            except FileNotFoundError:
                same = False
            if not same:  # it was removed by who had it before
                continue
            yield lock
            return
        finally:
            os.close(descriptor)
