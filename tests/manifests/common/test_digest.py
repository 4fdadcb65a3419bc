"""A file's digest: of all of its bytes, whoever read them before, and in whatever order."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from rhas.manifests.common.digest import BLOCK_BYTES, DigestedFile, file_digest, file_key

SIZES = [0, 1, 1000, BLOCK_BYTES, 2 * BLOCK_BYTES + 1, 12 * BLOCK_BYTES]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def expected(data: bytes) -> str:
    """As it is defined: of the size and of the digests of all blocks."""
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
    parts = [hashlib.blake2b(block, digest_size=16).digest() for block in blocks]
    return hashlib.blake2b(str(len(data)).encode() + b"".join(parts), digest_size=16).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_counts(tmp_path: Path, size: int) -> None:
    data = bytearray(random.Random(size).randbytes(size))
    own = file_digest(write(tmp_path / "a", data))
    assert own == expected(bytes(data)) == file_digest(write(tmp_path / "b", data))
    assert file_digest(write(tmp_path / "b", data + b"\0")) != own
    for at in random.Random(0).sample(range(size), min(size, 3)):
        changed = data.copy()
        changed[at] ^= 1
        assert file_digest(write(tmp_path / "b", changed)) != own, at


def test_a_download_that_was_completed_later_is_another_file(tmp_path: Path) -> None:
    """Players and browsers make a file of full size first and fill it from wherever they got pieces."""
    data = random.Random(0).randbytes(8 * BLOCK_BYTES)
    hole = 2 * BLOCK_BYTES + 7
    begun = data[:hole] + bytes(1000) + data[hole + 1000 :]
    assert file_digest(write(tmp_path / "a", begun)) != file_digest(write(tmp_path / "b", data))


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_as_a_file_does_and_the_digest_is_the_same(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a", random.Random(size).randbytes(size))
    rng = random.Random(1)
    with DigestedFile(path) as file, path.open("rb") as plain:
        for _ in range(50):
            at, count = rng.randrange(size + 10), rng.randrange(1, 3000)
            assert file.seek(at) == plain.seek(at) == file.tell()
            got = file.read(count)
            assert got == plain.read(len(got)) and (got or at >= size)
        assert (file.seek(0, os.SEEK_END), file.seek(-1, os.SEEK_CUR)) == (size, max(0, size - 1))
        assert file.digest() == file_digest(path)


def test_each_byte_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", bytes(20 * BLOCK_BYTES))
    with DigestedFile(path) as file:
        before = _bytes_read()
        file.seek(19 * BLOCK_BYTES)  # an index at the end, then the beginning
        while file.read(1 << 16):
            pass
        file.seek(0)
        for _ in range(100):
            file.read(1 << 16)
        file.digest()
        assert 20 * BLOCK_BYTES <= _bytes_read() - before < 21 * BLOCK_BYTES


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def test_what_is_no_file(tmp_path: Path) -> None:
    for read in (file_digest, file_key):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    with pytest.raises(OSError):
        file_digest(tmp_path)


def test_the_key_changes_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"abc")
    key = file_key(path)
    os.utime(path, ns=(0, key[1] + 1))
    assert file_key(path) != key
