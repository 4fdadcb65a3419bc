"""Writing a file so that a reader sees the old text or the new one, never half of it.

In: a path and the whole text. Out: the file, in UTF-8. The folder has to exist; what the text means and how
often it is written are left to the caller.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text`, line ends untouched; on failure raises `OSError` and leaves `path` as it was."""
    # Not `tempfile`: it makes files that only their owner may read, and the rename would keep that.
    temporary = path.with_name(f".rhas-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
