"""The decoder process: makes a movie's index, and reads frames by it into shared memory, reporting each.

Started as `python -m rhas.extract.decode.child REQUESTS_FD EVENTS_FD BUFFER_FD MEMORY_BYTES` by
`rhas.extract.decode.process`, which kills it when it stops reporting: decord can spin for ever while holding the
interpreter lock, so no thread in this process could help. Messages are JSON, never pickles; an index is sent as the
bytes of its file. It dies with its parent.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.picture import resized
from rhas.extract.decode.reader import FrameReader
from rhas.manifests.common.digest import file_key
from rhas.manifests.common.processes import die_with_parent

BATCH = 8  # frames that decord decodes between two reports: they are held at full size


def _reason(error: Exception) -> str:
    """The message without file names, C++ stack trace and source paths."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    if getattr(error, "strerror", None):  # of OSError, and of FFmpeg's errors that are none
        text = error.strerror  # type: ignore[attr-defined]
    else:
        text = lines[0][-160:] if "Check failed" in lines[0] else lines[0].rsplit(": ", 1)[-1]
    return f"{type(error).__name__}: {text}".removesuffix(": ")


class OpenMovie:
    """A movie that is being read. decord reads it if its index shows that it is exact there; else, or if it fails,
    `FrameReader` does, with the same pictures.
    """

    def __init__(self, path: str, index: MovieIndex, deinterlace: bool, decord: bool):
        self.path = path
        self.index = index
        self.deinterlace = deinterlace
        self.decord: Any = None
        if decord and index.for_decord:
            with contextlib.suppress(Exception):  # decord raises several unrelated classes
                self.decord = _opened_by_decord(path, index)
        self.reader = None if self.decord is not None else FrameReader(path, index, deinterlace)

    def read(self, indices: list[int], size: tuple[int, int], out: np.ndarray, events: Connection) -> None:
        """Decodes `indices` (ascending) into `out` [n,H,W,3]; reports which arrived and why others did not."""
        if self.decord is not None:
            try:
                for first in range(0, len(indices), BATCH):
                    batch = self.decord.get_batch(indices[first : first + BATCH]).asnumpy()
                    for at, image in enumerate(batch, first):
                        out[at] = resized(image, size)
                    _send(events, {"ok": [first, first + len(batch)]})
                return
            except Exception as error:  # noqa: BLE001  decord raises several unrelated classes
                _send(events, {"failing": _reason(error)})
        # The whole request again, so that its frames all come from one decoder, wherever the first one failed.
        if self.reader is None:
            self.reader = FrameReader(self.path, self.index, self.deinterlace)
        for at, pixels, reason in self.reader.read(indices, size):
            if pixels is None:
                _send(events, {"failed": at, "reason": reason})
            else:
                out[at] = pixels
                _send(events, {"ok": [at, at + 1]})


def _opened_by_decord(path: str, index: MovieIndex) -> Any:
    """Raises ValueError where decord sees other frames, or other keys to go back to, than the index."""
    import decord

    reader = decord.VideoReader(path, num_threads=1)
    if len(reader) != len(index.start_s):
        raise ValueError(f"decord counts {len(reader)} frames, the index {len(index.start_s)}")
    if list(reader.get_key_indices()) != index.entry_row.tolist():
        raise ValueError("decord takes other packets for keys")  # where a container has no table of them, say
    return reader


def _send(events: Connection, message: dict[str, Any]) -> None:
    events.send_bytes(json.dumps(message).encode())


def serve(requests: Connection, events: Connection, buffer_fd: int) -> None:
    """Answers `index` and `read` requests until the pipe closes.

    A `read` names its movie by path, size and modification time; the child asks for the index where it has another.
    """
    movie: OpenMovie | None = None
    name: Any = None
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        try:
            if request["op"] == "index":
                events.send_bytes(build_index(request["path"]).to_bytes())
                continue
            if movie is None or name != (request["path"], request["key"]):
                movie = None  # closes the old movie before the new one takes memory
                _send(events, {"needs": "index"})
                index = MovieIndex.from_bytes(requests.recv_bytes())
                if file_key(request["path"]) != index.key():
                    raise ValueError("the file has changed since its index was made")
                movie = OpenMovie(request["path"], index, request["deinterlace"], request["decord"])
                name = request["path"], request["key"]
            _read(movie, request["indices"], tuple(request["size"]), buffer_fd, events)
            _send(events, {"end": True})
        except Exception as error:  # noqa: BLE001  everything goes to the parent, which decides
            # Of FFmpeg's errors, those of contents are ValueErrors; others, as of a disk, may be gone the next time.
            _send(events, {"error": _reason(error), "contents": isinstance(error, ValueError)})


def _read(
    movie: OpenMovie, indices: list[int], size: tuple[int, int], buffer_fd: int, events: Connection
) -> None:
    shape = (len(indices), *size, 3)
    # The map closes with the last array that shows it: closed by hand after an error it would hide that error.
    shared = mmap.mmap(buffer_fd, int(np.prod(shape)))
    movie.read(indices, size, np.frombuffer(shared, dtype=np.uint8).reshape(shape), events)


def main() -> None:
    requests_fd, events_fd, buffer_fd, memory_bytes = (int(a) for a in sys.argv[1:5])
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with contextlib.suppress(BrokenPipeError):
        serve(Connection(requests_fd), Connection(events_fd), buffer_fd)


if __name__ == "__main__":
    main()
