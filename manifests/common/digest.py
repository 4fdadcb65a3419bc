"""Digests of whole files, made while somebody else reads them.

A movie's identity covers all of its bytes. They are read once anyway, in whatever order its container asks for; so the
digest is one of blocks, each taken when it is first read.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from pathlib import Path

from rhas.manifests.common.locations import Remote

BLOCK_BYTES = 1 << 20
BLOCKS_KEPT = 8  # the last ones read: containers jump back and forth between audio and video


class DigestedFile(io.RawIOBase):
    """A file to read from anywhere that tells the digest of all its bytes at the end. Raises OSError."""

    def __init__(self, path: str | Path):
        super().__init__()
        self.name = os.fspath(path)
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115  closed with this one
        self.size = os.fstat(self._file.fileno()).st_size
        self._at = 0
        self._digests: dict[int, bytes] = {}
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes: no more than the rest of a block."""
        number, offset = divmod(self._at, BLOCK_BYTES)
        if self._at >= self.size:
            return b""
        block = self._block(number)
        data = block[offset : offset + size] if size >= 0 else block[offset:]
        self._at += len(data)
        return data

    def digest(self) -> str:
        """Hex digest of the file's bytes, 128 bits; reads what nobody has asked for."""
        whole = hashlib.blake2b(str(self.size).encode(), digest_size=16)
        for number in range(-(-self.size // BLOCK_BYTES)):
            if number not in self._digests:
                self._block(number)
            whole.update(self._digests[number])
        return whole.hexdigest()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        self._file.seek(number * BLOCK_BYTES)
        parts, missing = [], BLOCK_BYTES
        while missing and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self._digests.setdefault(number, hashlib.blake2b(data, digest_size=16).digest())
        self._blocks[number] = data
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return data


def file_key(path: str | Path | Remote) -> tuple[int, int]:
    """Size and modification time in ns: while they stay, a file is taken to be the same. Raises OSError.

    Of a file in a store its size and, in place of a time, its tag (`rhas.manifests.common.stores.Facts`).
    """
    if isinstance(path, Remote):
        from rhas.manifests.common.stores import facts_of

        return facts_of(path).key
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def file_digest(path: str | Path | Remote) -> str:
    """The digest of a file's bytes, as `DigestedFile` tells it; one in a store is fetched. Raises OSError."""
    if isinstance(path, Remote):
        from rhas.manifests.common.cache import FileCache

        with FileCache().local(path) as here:
            return file_digest(here)
    with DigestedFile(path) as file:
        return file.digest()
