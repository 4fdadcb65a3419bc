"""The decoder process: runs decord, writes frames into shared memory, reports every few frames.

Started as `python -m extract.decode.child REQUESTS_FD EVENTS_FD BUFFER_FD MEMORY_BYTES` by
`extract.decode.process`, which kills it when it stops reporting: decord can spin for ever while holding the
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
from numpy.typing import NDArray

from extract.decode import salvage
from manifests.processes import die_with_parent

BATCH = 16  # frames decoded between two reports


def _reason(error: Exception) -> str:
    """decord's message without its C++ stack trace and source paths."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first.rsplit(': ', 1)[-1] if 'Check failed' not in first else first[-160:]}"


class Film:
    """An open film. `size` (height, width) resizes in the decoder; None keeps the film's own.

    A film that decord doesn't open is read by `salvage` instead, if that can read anything.
    """

    def __init__(self, path: str, size: tuple[int, int] | None):
        import decord

        height, width = size or (-1, -1)
        self.path = path
        self.size = size
        self.reader: Any = None
        try:
            self.reader = decord.VideoReader(path, width=width, height=height, num_threads=1)
            self.info, self.start_s = self._index()
        except Exception as error:  # noqa: BLE001  decord raises several unrelated classes
            self.reader = None
            try:
                self.info, self.start_s = salvage.index(path)
            except (OSError, ValueError, StopIteration):  # FFmpegError is an OSError or a ValueError
                raise error from None

    def _index(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Frame count, shape as displayed (rotation applied), end; and start times [N], 0 at the first frame."""
        count = len(self.reader)
        if count == 0:
            raise ValueError("the film has no video frames")
        spans_s = np.asarray(self.reader.get_frame_timestamp(np.arange(count)), dtype=np.float64)
        height, width = self.size or self.reader[0].shape[:2]
        info = {
            "frames": count,
            "height": height,
            "width": width,
            "end_s": float(spans_s[-1, 1] - spans_s[0, 0]),
        }
        return info, spans_s[:, 0] - spans_s[0, 0]

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
        for at, pixels, reason in salvage.salvage(self.path, self.start_s, indices, self.size):
            if pixels is None:
                _send(events, {"failed": at, "reason": reason})
            else:
                out[at] = pixels
                _send(events, {"ok": [at, at + 1]})


def _send(events: Connection, message: dict[str, Any]) -> None:
    events.send_bytes(json.dumps(message).encode())


def serve(requests: Connection, events: Connection, buffer_fd: int) -> None:
    """Answers `probe` and `read` requests until the pipe closes."""
    film: Film | None = None
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        try:
            size = tuple(request["size"]) if request["size"] else None
            if film is None or (film.path, film.size) != (request["path"], size):
                film = None  # closes the old film before the new one takes memory
                film = Film(request["path"], size)
            if request["op"] == "probe":
                _send(events, {"probed": film.info})
                events.send_bytes(film.start_s.tobytes())
                continue
            indices = request["indices"]
            shape = (len(indices), *film.size, 3) if film.size else ()
            with mmap.mmap(buffer_fd, int(np.prod(shape))) as shared:
                out = np.frombuffer(shared, dtype=np.uint8).reshape(shape)
                film.read(indices, out, events)
                del out  # an exported buffer would keep the map open
            _send(events, {"end": True})
        except Exception as error:  # noqa: BLE001  everything goes to the parent, which decides
            _send(events, {"error": _reason(error)})


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
