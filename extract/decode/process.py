"""The parent's side of the decoder process: requests with a deadline, kill, retry, and what was salvaged.

`DecoderProcess.index` and `.read` either answer or raise; neither can hang. A request makes progress when the
child reports a frame or reads from the file; without progress for `deadline_s` the child is killed and the
request tried again in a fresh one. Frames that arrived before a kill are kept.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.sampling import MAX_FRAMES, MAX_MOVIE_S
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.digest import file_key
from rhas.manifests.common.locations import Place
from rhas.manifests.common.processes import python_command

CHILD_MEMORY_BYTES = 8 << 30  # address space of one decoder process; a movie that needs more fails alone
LONGEST_STRIP = 16  # longer side of a decoded frame over `short_side`
POLL_S = 0.5


class DecodeError(Exception):
    """A movie or a request that can't be decoded; the message says why, for `failures.csv`."""


class NoMovie(DecodeError):
    """A file whose contents are no movie that can be decoded: the same bytes will be none the next time."""

    def __init__(self, reason: str, file: tuple[int, int]):
        """`file`: its `file_key` before it was read."""
        super().__init__(reason, file)
        self.reason, self.file = reason, file

    def __str__(self) -> str:
        return self.reason


class _ChildLost(Exception):
    """The decoder process died or was killed; the message says why."""


@dataclass(frozen=True)
class Frames:
    """Decoded frames. `ok` [n] says which rows of `pixels` [n,H,W,3] uint8 hold a frame; others are black."""

    pixels: NDArray[np.uint8]
    ok: NDArray[np.bool_]
    reason: str  # why the first of the missing frames is missing; empty when all arrived
    killed: bool  # whether the decoder died or had to be killed on the way
    messages: int  # lines the codec wrote to stderr: damage that decoded anyway leaves only this trace


def fit_short_side(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width shrunk to `short_side`, proportions kept, never enlarged, never zero.

    A strip is shrunk further: its longer side would fill the memory.
    """
    scale = min(1.0, short_side / min(height, width), LONGEST_STRIP * short_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


class DecoderProcess:
    """A decoder child, started on demand and replaced when it is lost. Not thread-safe."""

    def __init__(
        self,
        deadline_s: float = 60.0,
        attempts: int = 2,
        memory_bytes: int = CHILD_MEMORY_BYTES,
        deinterlace: bool = True,
        decord: bool = False,
        cache: FileCache | None = None,
    ):
        """`cache`: where movies are fetched to that are in a store."""
        self.cache = cache or FileCache()
        self.deadline_s = deadline_s
        self.decord = decord
        self.deinterlace = deinterlace
        self.attempts = attempts
        self.memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        # An anonymous file: it vanishes with the last process that holds it, however that process ends.
        self._buffer_fd = os.memfd_create("rhas-frames")

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._kill()
        if self._buffer_fd >= 0:
            os.close(self._buffer_fd)
            self._buffer_fd = -1

    def index(self, video: Place) -> MovieIndex:
        """Reads `video` once and lists its frames. Raises DecodeError."""
        with self.here(video) as path:
            return self._index(path)

    def _index(self, video: Path) -> MovieIndex:
        check_file(video)
        key = file_key(video)
        reason = ""
        for _ in range(self.attempts):
            try:
                # It is read once, without a report: bytes read count as progress.
                self._request({"op": "index", "path": str(video)}, 4 * video.stat().st_size + (64 << 20))
                answer = self._receive()
                if answer.startswith(b"{"):
                    told = json.loads(answer)
                    raise NoMovie(told["error"], key) if told.get("contents") else DecodeError(told["error"])
                return _believable(MovieIndex.from_bytes(answer), key)
            except _ChildLost as lost:
                reason = str(lost)
        raise DecodeError(reason)

    def read(
        self, video: Place, index: MovieIndex, indices: NDArray[np.int64], size: tuple[int, int]
    ) -> Frames:
        """Decodes the frames `indices` [n] (ascending) of `video` at `size` (height, width).

        Frames that can't be had are left out of `ok`, with the reason. Raises DecodeError when there is no
        file to read.
        """
        with self.here(video, index) as path:
            return self._read(path, index, indices, size)

    @contextmanager
    def here(self, video: Place, index: MovieIndex | None = None) -> Iterator[Path]:
        """The movie on this machine, for as long as it is read. Raises DecodeError."""
        with ExitStack() as used:
            try:
                known = None if index is None else index.key()
                digest = "" if index is None else index.facts.digest
                path = used.enter_context(self.cache.local(video, known, digest))
            except OSError as error:
                raise DecodeError(error.strerror or str(error)) from None
            yield path

    def _read(
        self, video: Path, index: MovieIndex, indices: NDArray[np.int64], size: tuple[int, int]
    ) -> Frames:
        shape = (len(indices), *size, 3)
        ok = np.zeros(len(indices), dtype=bool)
        tried = np.zeros(len(indices), dtype=bool)
        pixels = np.zeros(shape, dtype=np.uint8)
        reason = ""
        killed = False
        messages = 0
        for _ in range(self.attempts):
            todo = np.flatnonzero(~tried)
            try:
                check_file(video)
                os.ftruncate(self._buffer_fd, int(np.prod(shape)))
                request: dict[str, Any] = {"op": "read", "path": str(video), "key": index.key(), "size": size}
                request |= {"deinterlace": self.deinterlace, "decord": self.decord}
                self._request(
                    {**request, "indices": indices[todo].tolist()}, video.stat().st_size + (64 << 20)
                )
                while "end" not in (event := json.loads(self._receive())):
                    if "needs" in event:
                        self._send(index.to_bytes())
                    elif "error" in event:
                        reason = reason or event["error"]
                        break
                    elif "ok" in event:
                        done = todo[slice(*event["ok"])]
                        ok[done] = tried[done] = True
                    elif "failed" in event:
                        tried[todo[event["failed"]]] = True
                        reason = reason or event["reason"]
                tried[:] = True
            except _ChildLost as lost:
                killed = True
                reason = reason or str(lost)
            if ok[todo].any():
                with mmap.mmap(
                    self._buffer_fd, int(np.prod((len(todo), *shape[1:]))), prot=mmap.PROT_READ
                ) as shared:
                    arrived = np.frombuffer(shared, dtype=np.uint8).reshape(len(todo), *shape[1:])
                    for row in np.flatnonzero(ok[todo]):  # row by row: no second copy of the window
                        pixels[todo[row]] = arrived[row]
                    del arrived
            messages += self._messages()
            if tried.all():
                break
        return Frames(pixels, ok, reason, killed, messages)

    # --- the child

    def _start(self) -> subprocess.Popen[bytes]:
        request_read, request_write = os.pipe()
        event_read, event_write = os.pipe()
        passed = (request_read, event_write, self._buffer_fd)
        self._stderr = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  lives as long as the child
        child = subprocess.Popen(
            self._command(request_read, event_write),
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        os.close(request_read)
        os.close(event_write)
        self._requests = Connection(request_write, readable=False)
        self._events = Connection(event_read, writable=False)
        return child

    def _command(self, request_fd: int, event_fd: int) -> list[str]:
        numbers = (request_fd, event_fd, self._buffer_fd, self.memory_bytes)
        return python_command("rhas.extract.decode.child", *map(str, numbers))

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._requests.close()
            self._events.close()
            self._child = None

    def _request(self, message: dict[str, Any], bytes_allowed: int) -> None:
        """`bytes_allowed`: up to so many bytes read from files count as progress, between two reports."""
        if self._child is None or self._child.poll() is not None:
            self._kill()
            self._child = self._start()
        self._bytes_allowed = self._bytes_read() + bytes_allowed
        self._send(json.dumps(message).encode())

    def _send(self, data: bytes) -> None:
        try:
            self._requests.send_bytes(data)
        except OSError as error:
            raise self._lost() from error

    def _receive(self) -> bytes:
        """The child's next message. Raises _ChildLost when it died or made no progress in time."""
        since = time.monotonic()
        bytes_read = self._bytes_read()
        try:
            while not self._events.poll(min(POLL_S, self.deadline_s)):
                now_read = self._bytes_read()
                if bytes_read < now_read <= self._bytes_allowed:
                    since, bytes_read = time.monotonic(), now_read
                elif time.monotonic() - since > self.deadline_s:
                    self._kill()
                    raise _ChildLost(f"decoder made no progress for {self.deadline_s:g} s and was killed")
            return self._events.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> _ChildLost:
        assert self._child is not None
        try:
            code = self._child.wait(timeout=POLL_S)
        except subprocess.TimeoutExpired:  # it closed the pipe and lives on
            code = -signal.SIGKILL
        self._kill()
        return _ChildLost(f"decoder died ({'signal' if code < 0 else 'exit code'} {abs(code)})")

    def _bytes_read(self) -> int:
        try:
            counters = Path(f"/proc/{self._child.pid}/io").read_text() if self._child else "rchar: 0"
        except OSError:
            return 0
        return int(counters.split("rchar: ")[1].split()[0])

    def _messages(self) -> int:
        """Lines on the child's stderr since the last call. Forgets them: a run has thousands of windows."""
        self._stderr.seek(0)
        lines = self._stderr.read().count(b"\n")
        self._stderr.seek(0)  # for the child too, which shares the position
        self._stderr.truncate()
        return lines


def check_file(video: Path) -> None:
    """Refuses what would block or mislead the decoder. Raises DecodeError."""
    try:
        status = video.stat()
    except FileNotFoundError:
        raise DecodeError("no such file") from None
    except OSError as error:  # links in a circle, a name that is too long, a folder that is closed
        raise DecodeError(error.strerror or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError("not a regular file")
    if not os.access(video, os.R_OK):
        raise DecodeError("no permission to read the file")
    if status.st_size == 0:
        raise DecodeError("the file is empty")


def _believable(index: MovieIndex, key: tuple[int, int]) -> MovieIndex:
    """Refuses times from which no samples can be planned. Raises NoMovie."""
    start_s, end_s = index.start_s, index.end_s
    if not (np.isfinite(start_s).all() and (np.diff(start_s) >= 0).all() and start_s[-1] <= end_s < np.inf):
        raise NoMovie("the movie's time stamps do not ascend", key)
    if end_s > MAX_MOVIE_S or len(start_s) > MAX_FRAMES:
        raise NoMovie(
            f"the movie claims {len(start_s)} frames in {end_s:.0f} s; "
            f"at most {MAX_FRAMES} in {MAX_MOVIE_S:.0f} s are believed",
            key,
        )
    return index
