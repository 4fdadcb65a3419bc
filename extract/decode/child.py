"""The decoder process: runs decord, writes frames into shared memory, reports every few frames.

Started as `python -m rhas.extract.decode.child REQUESTS_FD EVENTS_FD BUFFER_FD MEMORY_BYTES` by
`rhas.extract.decode.process`, which kills it when it stops reporting: decord can spin for ever while holding the
interpreter lock, so no thread in this process could help. Messages are JSON, never pickles. It dies with its
parent.
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

from rhas.extract.decode import packets
from rhas.manifests.common.processes import die_with_parent

BATCH = 16  # frames decoded between two reports


def _reason(error: Exception) -> str:
    """The message without file names, C++ stack trace and source paths."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    if getattr(error, "strerror", None):  # of OSError, and of FFmpeg's errors that are none
        text = error.strerror  # type: ignore[attr-defined]
    else:
        text = lines[0][-160:] if "Check failed" in lines[0] else lines[0].rsplit(": ", 1)[-1]
    return f"{type(error).__name__}: {text}".removesuffix(": ")


class OpenMovie:
    """An open movie. `size` (height, width) resizes in the decoder; None keeps the movie's own.

    decord reads what it can be trusted with; what it doesn't open, and all else, is read packet by packet.
    """

    def __init__(self, path: str, size: tuple[int, int] | None):
        self.path = path
        self.size = size
        self.reader: Any = None
        self.packets: packets.PacketReader | None = None
        if packets.exact(path):
            try:
                self._open_with_decord()
            except Exception:  # noqa: BLE001  decord raises several unrelated classes
                self.reader = None
        if self.reader is None:
            self.packets = movie = packets.PacketReader(path)
            self.start_s, self.end_s, self.shape = movie.start_s, movie.end_s, size or movie.shape

    def _open_with_decord(self) -> None:
        """Start times [N], 0 at the first frame; end; shape as displayed (rotation applied)."""
        import decord

        height, width = self.size or (-1, -1)
        self.reader = decord.VideoReader(self.path, width=width, height=height, num_threads=1)
        spans_s = np.asarray(self.reader.get_frame_timestamp(np.arange(len(self.reader))), dtype=np.float64)
        if not (np.isfinite(spans_s).all() and (np.diff(spans_s[:, 0]) >= 0).all()):
            raise ValueError("time stamps that do not ascend")
        self.start_s, self.end_s = spans_s[:, 0] - spans_s[0, 0], float(spans_s[-1, 1] - spans_s[0, 0])
        self.shape = self.size or self.reader[0].shape[:2]

    def info(self) -> dict[str, Any]:
        height, width = self.shape
        return {"frames": len(self.start_s), "height": height, "width": width, "end_s": self.end_s}

    def read(self, indices: list[int], out: np.ndarray, events: Connection) -> None:
        """Decodes `indices` (ascending) into `out` [n,H,W,3]; reports which arrived and why others did not."""
        if self.reader is not None:
            try:
                for first in range(0, len(indices), BATCH):
                    batch = indices[first : first + BATCH]
                    out[first : first + len(batch)] = self.reader.get_batch(batch).asnumpy()
                    _send(events, {"ok": [first, first + len(batch)]})
                return
            except Exception as error:  # noqa: BLE001  decord raises several unrelated classes
                _send(events, {"failing": _reason(error)})
        # The whole request again, so that its frames all come from one decoder, wherever the first one failed.
        assert self.size is not None
        if self.packets is None:
            self.packets = packets.PacketReader(self.path)
        for at, pixels, reason in self.packets.read(self.start_s, indices, self.size):
            if pixels is None:
                _send(events, {"failed": at, "reason": reason})
            else:
                out[at] = pixels
                _send(events, {"ok": [at, at + 1]})


def _send(events: Connection, message: dict[str, Any]) -> None:
    events.send_bytes(json.dumps(message).encode())


def serve(requests: Connection, events: Connection, buffer_fd: int) -> None:
    """Answers `probe` and `read` requests until the pipe closes."""
    movie: OpenMovie | None = None
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        try:
            size = tuple(request["size"]) if request["size"] else None
            if movie is None or (movie.path, movie.size) != (request["path"], size):
                movie = None  # closes the old movie before the new one takes memory
                movie = OpenMovie(request["path"], size)
            if request["op"] == "probe":
                _send(events, {"probed": movie.info()})
                events.send_bytes(movie.start_s.tobytes())
                continue
            _read(movie, request["indices"], buffer_fd, events)
            _send(events, {"end": True})
        except Exception as error:  # noqa: BLE001  everything goes to the parent, which decides
            _send(events, {"error": _reason(error)})


def _read(movie: OpenMovie, indices: list[int], buffer_fd: int, events: Connection) -> None:
    assert movie.size is not None
    shape = (len(indices), *movie.size, 3)
    # The map closes with the last array that shows it: closed by hand after an error it would hide that error.
    shared = mmap.mmap(buffer_fd, int(np.prod(shape)))
    movie.read(indices, np.frombuffer(shared, dtype=np.uint8).reshape(shape), events)


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
