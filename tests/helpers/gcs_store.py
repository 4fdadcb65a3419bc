"""An object store on loopback that speaks GCS's JSON API (gcp-storage-emulator), and the environment by which gcsfs
finds it.

Added to the emulator is what it lacks and we rely on: GCS's preconditions (`ifGenerationMatch=0`, HTTP status 412 where
there is an object), an ETag of its own for each writing, and answers that refuse.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fsspec
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage

from rhas.manifests.common import stores
from rhas.manifests.common.locations import Remote

BUCKET = "bucket"


@dataclass
class GcsStore:
    """`failing` are taken one by one, each the status of one answer; `refusing` is that of all, if not 0. `asked`: what
    was asked for."""

    storage: _Storage
    failing: deque[int] = field(default_factory=deque)
    refusing: int = 0
    asked: list[str] = field(default_factory=list)

    def names(self, prefix: str = "") -> list[str]:
        return [item["name"] for item in self.storage.get_file_list(BUCKET, prefix, None)[0]]

    def put(self, name: str, data: bytes) -> None:
        """Writes an object by the emulator's own means, as by another program."""
        from gcp_storage_emulator.handlers import objects

        resource = objects._make_object_resource("", BUCKET, name, "application/octet-stream", str(len(data)))
        self.storage.create_file(BUCKET, name, data, objects._checksums(data, resource))

    def generation(self, name: str) -> str:
        return self.storage.get_file_obj(BUCKET, name)["generation"]


class _Storage(Storage):
    only_new = False  # of the object that is being written

    def create_file(self, bucket: str, name: str, content: bytes, resource: Any, *more: Any) -> None:
        if self.only_new and self._has(bucket, name):
            raise FileExistsError
        resource["etag"] = resource["generation"]
        super().create_file(bucket, name, content, resource, *more)

    def _has(self, bucket: str, name: str) -> bool:
        try:
            self.get_file_obj(bucket, name)
        except NotFound:
            return False
        return True


class _Handler(RequestHandler):
    def __init__(self, store: GcsStore, *arguments: Any):
        self.store = store
        super().__init__(store.storage, *arguments)

    def _routed(self, method: str) -> None:
        self.store.asked.append(f"{method} {self.path}")
        if status := self.store.failing.popleft() if self.store.failing else self.store.refusing:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._refuse(status)
            return
        # One request is answered after the other, so this is of this one.
        self.store.storage.only_new = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch") == ["0"]
        try:
            Router(self).handle(method)
        except FileExistsError:
            self._refuse(412)

    def _refuse(self, status: int) -> None:
        body = json.dumps({"error": {"code": status, "message": "refused by a test"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._routed("GET")

    def do_POST(self) -> None:
        self._routed("POST")

    def do_PUT(self) -> None:
        self._routed("PUT")

    def do_DELETE(self) -> None:
        self._routed("DELETE")


@contextmanager
def gcs_store() -> Iterator[GcsStore]:
    """One with an empty bucket, until the block ends; this process finds it, and those that it starts."""
    for name in ("api", "gcp_storage_emulator"):  # it notes what it can't find
        logging.getLogger(name).setLevel(logging.CRITICAL)
    store = GcsStore(_Storage(use_memory_fs=True))
    create_bucket(BUCKET, store.storage)
    server = HTTPServer(("127.0.0.1", 0), partial(_Handler, store))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    # Without credentials gcsfs looks for a metadata server, for seconds; what a user has isn't meant here.
    environment = {"STORAGE_EMULATOR_HOST": f"http://{host!s}:{port}", "FSSPEC_GS_TOKEN": "anon"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    fsspec.config.conf["gs"] = {"token": "anon"}  # here fsspec has read its environment before
    # Whoever imports it first chooses what it is. All of it is here before `pool_here` puts sys.modules back as they
    # were: a second import of its messages is an error.
    stores.check_scheme(Remote(f"gs://{BUCKET}"))
    import gcsfs.extended_gcsfs

    try:
        yield store
    finally:
        del fsspec.config.conf["gs"]
        gcsfs.GCSFileSystem.clear_instance_cache()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        server.shutdown()
        server.server_close()
        thread.join()
