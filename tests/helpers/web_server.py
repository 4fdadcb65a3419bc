"""A web server on loopback that serves a folder, in parts too, and fails as it is told to.

In: a folder. Out: its address, and what was asked of it. `faults` are taken one by one, each for one GET: "500" is an
answer of that status, "cut" half of the bytes and the end of the connection, "wrong" bytes of the right number.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class WebServer:
    """`digests`: whether it tells SHA-256 of files; `ranges`: whether it knows parts of them; `password`: of user me;
    `only_get`: it refuses to be asked by HEAD, as where an address is signed for GET alone."""

    folder: Path
    url: str = ""
    digests: bool = False
    ranges: bool = True
    etags: bool = True
    only_get: bool = False
    password: str = ""
    faults: deque[str] = field(default_factory=deque)
    always: str = ""  # a fault of every GET
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path with query, range


@contextmanager
def serving(folder: Path) -> Iterator[WebServer]:
    """A server until the block ends."""
    server = WebServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def _answer(self, body: bool) -> None:
            server.asked.append((self.command, self.path, self.headers.get("Range", "")))
            wanted = "Basic " + base64.b64encode(f"me:{server.password}".encode()).decode()
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            if (server.password and self.headers.get("Authorization") != wanted) or (
                server.only_get and not body
            ):
                self._refuse(403)
                return
            if not path.is_file():
                self._refuse(404)
                return
            fault = (server.always or (server.faults.popleft() if server.faults else "")) if body else ""
            if fault.isdigit():
                self._refuse(int(fault))
                return
            whole = path.read_bytes()
            part = (
                re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if server.ranges else None
            )
            data = whole[int(part[1]) : int(part[2]) + 1] if part else whole
            self.send_response(206 if part else 200)
            if part:
                self.send_header(
                    "Content-Range", f"bytes {part[1]}-{int(part[1]) + len(data) - 1}/{len(whole)}"
                )
            if server.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if server.etags:
                self.send_header("ETag", f'"{hashlib.sha1(whole).hexdigest()}"')
            if server.digests and not part:
                self.send_header(
                    "Repr-Digest", f"sha-256=:{base64.b64encode(hashlib.sha256(whole).digest()).decode()}:"
                )
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if not body:
                return
            if fault == "cut":
                data = data[: len(data) // 2]
                self.close_connection = True
            self.wfile.write(bytes(len(data)) if fault == "wrong" else data)

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
