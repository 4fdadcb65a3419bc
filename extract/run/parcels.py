"""Values on their way between processes of a machine: small ones as bytes, large ones in anonymous files.

A process passes on what it was sent without opening it. An anonymous file is gone with the last process that holds it,
however that one ends; who opens it maps it, so that frames and features are copied once, when they are packed.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np

SMALL = 1 << 13  # bytes that go on the socket itself, which holds some 200 KB
_MESSAGE = 1 << 18
_FILES = 64  # that one message may bring
_ALIGNED = 64


class Parcel:
    """A packed value. Arrays of an opened one can't be written to, as they may be in other processes too."""

    def __init__(self, data: bytes | None, file: int = -1):
        self.data = data
        self.file = file

    def __del__(self) -> None:
        if self.file >= 0:
            os.close(self.file)

    @classmethod
    def of(cls, value: Any) -> Parcel:
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
        parts = [memoryview(head), *(array.raw() for array in arrays)]
        if sum(map(len, parts)) <= SMALL:
            return cls(pickle.dumps(value, protocol=5))
        sizes = np.array([len(parts), *map(len, parts)], dtype=np.int64)
        parcel = cls(None, os.memfd_create("rhas-parcel", os.MFD_CLOEXEC))
        with open(parcel.file, "wb", closefd=False) as file:
            for part in (memoryview(sizes.tobytes()), *parts):
                file.write(part)
                file.write(bytes(-len(part) % _ALIGNED))
        return parcel

    def open(self) -> Any:
        if self.data is not None:
            return pickle.loads(self.data)
        content = memoryview(mmap.mmap(self.file, 0, prot=mmap.PROT_READ))
        count = int(np.frombuffer(content, np.int64, 1)[0])
        sizes = np.frombuffer(content, np.int64, count, 8).tolist()
        parts, at = [], 8 * (count + 1)
        for size in sizes:
            at += -at % _ALIGNED
            parts.append(content[at : at + size])
            at += size
        return pickle.loads(parts[0], buffers=parts[1:])


def send(to: socket.socket, head: Any, parcels: Sequence[Parcel]) -> None:
    """A message: a few plain values, and parcels. Raises OSError where nobody is there any more."""
    message = pickle.dumps((head, [parcel.data for parcel in parcels]), protocol=5)
    socket.send_fds(to, [message], [parcel.file for parcel in parcels if parcel.data is None])


def receive(of: socket.socket) -> tuple[Any, list[Parcel]] | None:
    """The next message; None when the other side has ended."""
    try:
        message, files, _, _ = socket.recv_fds(of, _MESSAGE, _FILES)
    except ConnectionError:
        return None
    if not message:
        return None
    head, contents = pickle.loads(message)
    left = iter(files)
    return head, [Parcel(data, -1 if data is not None else next(left)) for data in contents]
