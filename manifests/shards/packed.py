"""Arrays and what is said of them as the bytes of one file, with a checksum: an npz archive of numpy's.

In: a name and version of what it is, plain data, arrays. Out: bytes, the same ones for the same contents; and back,
where anything but such a file is a ValueError. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 32  # of all arrays of a file: what claims more is none of ours


# Of damage that numpy and zipfile have no error of their own for.
_DAMAGE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError)


def pack(kind: str, version: int, said: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> bytes:
    """`said` is JSON-able."""
    head = json.dumps({"kind": kind, "version": version, "digest": _digest(said, arrays), "said": said})
    buffer = io.BytesIO()
    named: dict[str, Any] = {**arrays, "head": np.frombuffer(head.encode(), np.uint8)}
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def unpack(kind: str, version: int, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What was packed. Raises ValueError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            if (head["kind"], head["version"]) != (kind, version):
                raise ValueError(f"{head['kind']} of version {head['version']}, not {kind} of {version}")
            arrays = {name: stored[name] for name in stored.files if name != "head"}
        if head["digest"] != _digest(head["said"], arrays):
            raise ValueError("the checksum does not match the contents")
        return head["said"], arrays
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"not {kind}: {error}") from error


def _digest(said: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> str:
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def require(
    arrays: Mapping[str, NDArray], expected: Mapping[str, tuple[Any, tuple[int | None, ...]]]
) -> None:
    """Raises ValueError unless just the expected arrays are there, each of its type and shape (None: any length)."""
    if arrays.keys() != expected.keys():
        raise ValueError(f"arrays {sorted(arrays)}, not {sorted(expected)}")
    for name, (dtype, shape) in expected.items():
        array = arrays[name]
        fits = len(array.shape) == len(shape) and all(
            want is None or got == want for got, want in zip(array.shape, shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
