"""Writing a file so that a reader sees the old contents or the new ones, never half of them.

In: a path and the whole contents. Out: the file, on disk even after a power cut. The folder has to exist; what
the contents mean and how often they are written are left to the caller.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` in UTF-8, line ends untouched; on failure raises `OSError` and leaves `path` as it was."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write `data`; on failure raises `OSError` and leaves `path` as it was."""
    # Not `tempfile`: it makes files that only their owner may read, and the rename would keep that.
    temporary = path.with_name(f".rhas-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)  # else the new name may be lost


def sync(path: Path) -> None:
    """Returns when a file's contents, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
