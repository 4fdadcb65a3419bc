"""Writing a file so that a reader sees the old contents or the new ones, never half of them.

In: a path and the whole contents. Out: the file, on disk even after a power cut. The folder has to exist; what
the contents mean and how often they are written are left to the caller.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` in UTF-8, line ends untouched; on failure raises `OSError` and leaves `path` as it was."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write `data`; on failure raises `OSError` and leaves `path` as it was."""
    with written_atomically(path) as file:
        file.write(data)


def write_new_atomically(path: Path, data: bytes) -> bool:
    """Write `data` unless the file is there: of several that try at once, one does. Says whether this one did."""
    temporary = path.with_name(f".rhas-{secrets.token_hex(8)}.tmp")
    with naming(path):
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # fails where a rename would replace
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
    return True


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; at the end of the block it is `path`. If the block fails, `path` is as it was."""
    # Not `tempfile`: it makes files that only their owner may read, and the rename would keep that.
    temporary = path.with_name(f".rhas-{secrets.token_hex(8)}.tmp")
    with naming(path):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)  # else the new name may be lost


def remove_leftovers(folder: Path) -> None:
    """Clears what a killed process was writing, in a folder and below it; for who holds the folder's lock."""
    for temporary in folder.rglob(".rhas-*.tmp"):
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError within it says which file could not be written: that of a full disk doesn't."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, reason, str(path)) from error


def sync(path: Path) -> None:
    """Returns when a file's contents, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
