"""Object stores and web servers, through fsspec: what a file there is, fetching it, listing, writing.

In: a `Remote`. Out: facts, bytes, names. What fails for a while is tried again, with longer and longer pauses; what is
missing or forbidden isn't. Every error is an OSError (or, for a package that lacks, an InputError) whose text holds the
address without credentials, and nothing of the client's own that might. Credentials are the environment's: what the
stores' own tools read (AWS_ACCESS_KEY_ID and profiles, GOOGLE_APPLICATION_CREDENTIALS, ~/.netrc), or fsspec's settings
(FSSPEC_S3_ENDPOINT_URL …).
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import STORES, Remote
from rhas.manifests.common.secrets import scrubbed

BLOCK_BYTES = 8 << 20  # of a file, asked for at once
PARALLEL = 4  # blocks of a file that are on their way
PAUSES_S = (0.25, 1.0, 4.0, 15.0)  # before it is tried again
CONNECT_S, READ_S = 30.0, 60.0  # without an answer
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "https": "aiohttp", "http": "aiohttp"}
_EXTRAS = {"s3": "rhas[s3]", "gs": "rhas[gs]"}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "https": "~/.netrc", "http": "~/.netrc",
}  # fmt: skip
_AGAIN = (408, 425, 429)  # of HTTP's 4xx
_MD5 = re.compile("[0-9a-f]{32}")
T = TypeVar("T")


class StoreError(OSError):
    """A store that doesn't answer, or not as it should. `strerror` says why, `filename` which file."""


class WrongBytes(StoreError):
    """What arrived isn't what the store says that it has."""


@dataclass(frozen=True)
class Facts:
    """A file in a store. `tag` changes when its bytes do: an ETag, or when it was last changed."""

    size: int
    tag: str
    md5: str = ""  # hex, where the store tells
    sha256: str = ""
    ranges: bool = True  # whether parts of it can be asked for

    @property
    def key(self) -> tuple[int, int]:
        """Size, and the tag as a time in ns that any file system can hold (of 1970 to 2006): see `file_key`."""
        digest = hashlib.blake2b(self.tag.encode(), digest_size=8).digest()
        return self.size, int.from_bytes(digest) >> 4 if self.tag else 0


def facts_of(remote: Remote) -> Facts:
    """Asks the store. Raises FileNotFoundError, PermissionError, StoreError."""
    return _patiently(remote, lambda: _facts(remote))


def download(remote: Remote, facts: Facts, target: Path) -> None:
    """Fetches a file whole, and holds it against its size and checksums. Raises as `facts_of`, and WrongBytes.

    A block that was cut off is asked for again by itself; bytes that are wrong as a whole are fetched once more.
    """
    for last in (False, True):
        _fetch(remote, facts, target)
        wrong = _what_is_wrong(facts, target)
        if not wrong:
            break
        if last:
            raise WrongBytes(errno.EIO, f"what arrived is not what the store has: {wrong}", str(remote))
    if (now := facts_of(remote)).key != facts.key:
        raise StoreError(
            errno.EIO, f"it was changed while it was fetched ({now.size} bytes now)", str(remote)
        )


def upload(source: Path, remote: Remote) -> Facts:
    """Writes a whole file, which appears under its name when all of it is there. Returns what the store has then."""
    system, path = _system(remote), _path(remote)
    _patiently(remote, lambda: system.put_file(str(source), path))
    facts = facts_of(remote)
    wrong = _what_is_wrong(facts, source)
    if wrong:
        raise WrongBytes(errno.EIO, f"what was stored is not what was sent: {wrong}", str(remote))
    return facts


def write_new(data: bytes, remote: Remote) -> bool:
    """Writes a file that isn't there yet; False, and nothing is changed, if somebody else's is."""
    system, path = _system(remote), _path(remote)

    def write() -> bool:
        try:
            system.pipe_file(path, data, mode="create")
        except FileExistsError:
            return system.cat_file(path) == data  # ours, of which the answer was lost
        return True

    return _patiently(remote, write)


def write_over(data: bytes, remote: Remote) -> None:
    """Writes a small file, in place of what there may be."""
    system, path = _system(remote), _path(remote)
    _patiently(remote, lambda: system.pipe_file(path, data))


def read_small(remote: Remote) -> bytes:
    """All of a small file. Raises FileNotFoundError without one."""
    system, path = _system(remote), _path(remote)
    return _patiently(remote, lambda: bytes(system.cat_file(path)))


def remove(remote: Remote) -> None:
    """Removes a file, if it is there."""
    system, path = _system(remote), _path(remote)
    with suppress(FileNotFoundError):
        _patiently(remote, lambda: system.rm_file(path))


def listing(remote: Remote) -> dict[str, Facts]:
    """The files below a folder of an object store, by their names from there."""
    system, path = _system(remote), _path(remote).rstrip("/")
    try:
        found = _patiently(remote, lambda: system.find(path, detail=True))
    except FileNotFoundError:
        return {}
    return {
        name[len(path) + 1 :]: _of_info(info)
        for name, info in sorted(found.items())
        if name.startswith(f"{path}/") and info.get("type", "file") == "file"
    }


def check_scheme(remote: Remote) -> None:
    """Raises InputError where the package for such addresses isn't installed."""
    _system(remote)


# --- how it is asked


def _system(remote: Remote) -> Any:
    """fsspec's file system. Raises InputError, naming the extra, where it isn't installed."""
    import fsspec

    if not remote.is_whole:
        reason = (
            "the address is kept without its credentials or query; it has to be given anew, in a manifest say"
        )
        raise StoreError(errno.EACCES, reason, str(remote))
    options: dict[str, Any] = {}
    if remote.scheme == "s3":
        options = {
            "use_listings_cache": False,
            "config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"max_attempts": 1}},
        }  # fmt: skip
    try:
        if remote.scheme == "gs":
            import aiohttp

            # The part of gcsfs that speaks GCS's JSON API: the other one, which buckets of one zone need, asks by gRPC
            # what kind of bucket it is, each time and for a minute where that isn't answered.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
            logging.getLogger("gcsfs").setLevel(
                logging.CRITICAL
            )  # it logs, with tracebacks, what `_told` tells
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
            options = {"use_listings_cache": False, "requests_timeout": timeout}
        if remote.scheme in ("http", "https"):
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
            # As it stands where it has escapes: written otherwise, a signature would not hold.
            options = {"client_kwargs": {"trust_env": True, "timeout": timeout}, "encoded": "%" in remote.url}
        return fsspec.filesystem(remote.scheme, **options)
    except ImportError:
        package = PACKAGES[remote.scheme]
        extra = _EXTRAS.get(remote.scheme, package)
        expected = (
            f"the package {package}, for addresses that begin with {remote.scheme}://: pip install '{extra}'"
        )
        raise InputError(Problem(str(remote), expected)) from None


def _path(remote: Remote) -> str:
    """As fsspec names it there."""
    return remote.url.partition("://")[2] if remote.scheme in STORES else remote.url


def _patiently(remote: Remote, ask: Callable[[], T]) -> T:
    """The answer; what may pass by itself is waited for. Raises without a trace of the client's own error."""
    for pause_s in (*PAUSES_S, None):
        try:
            return ask()
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001  each client has errors of its own
            told, passes = _told(remote, error)
        if pause_s is None or not passes:
            raise told
        time.sleep(pause_s)
    raise AssertionError


def _told(remote: Remote, error: Exception) -> tuple[OSError, bool]:
    """An error as ours, and whether it may pass by itself."""
    status = getattr(error, "status", None) or getattr(error, "code", None)
    name = type(error).__name__
    if isinstance(error, StoreError):
        return error, error.errno == errno.EAGAIN
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(errno.ENOENT, "no such file", str(remote)), False
    forbidden = isinstance(error, OSError) and str(error).startswith("Forbidden: ")  # gcsfs's way to say 403
    if isinstance(error, PermissionError) or "Credential" in name or status in (401, 403) or forbidden:
        hint = f"; credentials come from the environment ({_CREDENTIALS[remote.scheme]})"
        return PermissionError(errno.EACCES, f"the store refuses access{hint}", str(remote)), False
    if isinstance(status, int):
        passes = status >= 500 or status in _AGAIN
        return StoreError(errno.EIO, f"the store answers with HTTP status {status}", str(remote)), passes
    text = scrubbed(" ".join(str(error).split()))[:200]
    reason = f"{name}: {text}".removesuffix(": ")
    known_wrong = isinstance(error, ValueError | TypeError | NotImplementedError)
    return StoreError(errno.EIO, f"the store can't be used ({reason})", str(remote)), not known_wrong


# --- facts


def _facts(remote: Remote) -> Facts:
    system, path = _system(remote), _path(remote)
    if remote.scheme in ("http", "https"):
        from fsspec.asyn import sync

        return sync(system.loop, _http_facts, system, path)
    if remote.scheme == "s3":
        bucket, key, _ = system.split_path(path)
        answer = system.call_s3("head_object", Bucket=bucket, Key=key)
        plain = answer.get("ServerSideEncryption") in (None, "AES256") and not answer.get(
            "SSECustomerAlgorithm"
        )
        tag = answer.get("ETag", "").strip('"')
        return Facts(answer["ContentLength"], tag, md5=tag if plain and _MD5.fullmatch(tag) else "")
    return _of_info(system.info(path))


def _of_info(info: dict[str, Any]) -> Facts:
    """As fsspec tells of a file: of GCS with its MD5. An S3 ETag of a listing may be one of encrypted bytes."""
    tag = str(info.get("ETag") or info.get("etag") or info.get("LastModified") or "").strip('"')
    return Facts(int(info["size"]), tag, md5=_hex(info.get("md5Hash"), 16))


async def _http_facts(system: Any, url: str) -> Facts:
    """By HEAD; or, where only GET is allowed (an address may be signed for that alone), by a GET of one byte."""
    session = await system.set_session()
    whole = {"Accept-Encoding": "identity"}
    async with session.head(system.encode_url(url), headers=whole, allow_redirects=True) as answer:
        if answer.status not in (400, 401, 403, 405, 501):
            answer.raise_for_status()
            return _of_headers(answer.headers, int(answer.headers.get("Content-Length", -1)))
    async with session.get(system.encode_url(url), headers={**whole, "Range": "bytes=0-0"}) as answer:
        answer.raise_for_status()
        if answer.status == 206:
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            return _of_headers(answer.headers, int(size) if size.isdecimal() else -1, ranges=True)
        return _of_headers(answer.headers, int(answer.headers.get("Content-Length", -1)))


def _of_headers(headers: Any, size: int, ranges: bool = False) -> Facts:
    if size < 0:
        raise ValueError("it doesn't say how many bytes there are")
    if ranges:  # checksums are of the one byte
        return Facts(size, headers.get("ETag") or headers.get("Last-Modified") or "")
    digests = {
        name.strip().lower(): value.strip().strip(":")
        for field in ("Repr-Digest", "Digest", "x-goog-hash")
        for part in headers.get(field, "").split(",")
        for name, _, value in [part.partition("=")]
    }
    return Facts(
        size=size,
        tag=headers.get("ETag") or headers.get("Last-Modified") or "",
        md5=_hex(headers.get("Content-MD5") or digests.get("md5"), 16),
        sha256=_hex(digests.get("sha-256"), 32),
        ranges=headers.get("Accept-Ranges", "").lower() == "bytes",
    )


def _hex(base64_text: Any, size: int) -> str:
    """A checksum that is written in base64; empty for anything else."""
    with suppress(binascii.Error, ValueError, TypeError):
        data = base64.b64decode(str(base64_text or ""), validate=True)
        return data.hex() if len(data) == size else ""
    return ""


# --- bytes


def _fetch(remote: Remote, facts: Facts, target: Path) -> None:
    system, path = _system(remote), _path(remote)
    with target.open("r+b" if target.exists() else "w+b") as file:
        file.truncate(facts.size)
        if not facts.ranges:

            def get_all() -> None:
                file.seek(0)
                system.get_file(path, _Bounded(file, facts.size))
                if file.tell() != facts.size:
                    raise StoreError(
                        errno.EAGAIN, f"cut off after {file.tell()} of {facts.size} bytes", str(remote)
                    )

            _patiently(remote, get_all)
            return

        def get(start: int) -> None:
            stop = min(start + BLOCK_BYTES, facts.size)

            def ask() -> bytes:
                data = bytes(system.cat_file(path, start=start, end=stop))
                if len(data) != stop - start:
                    reason = f"{len(data)} bytes arrived of {stop - start} from {start} on"
                    raise StoreError(errno.EAGAIN, reason, str(remote))
                return data

            os.pwrite(file.fileno(), _patiently(remote, ask), start)

        with ThreadPoolExecutor(PARALLEL) as threads:
            for _ in threads.map(get, range(0, facts.size, BLOCK_BYTES)):
                pass


class _Bounded:
    """A file that takes no more than it is to hold: a server may send without end."""

    def __init__(self, file: Any, size: int):
        self._file, self._size = file, size

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._size:
            raise ValueError("more bytes arrive than the store said there are")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _what_is_wrong(facts: Facts, path: Path) -> str:
    """What of a file here isn't as the store says; empty if it is right."""
    if path.stat().st_size != facts.size:
        return f"{path.stat().st_size} bytes, not {facts.size}"
    for name in ("md5", "sha256"):
        if said := getattr(facts, name):
            with path.open("rb") as file:
                found = hashlib.file_digest(file, name).hexdigest()
            if found != said:
                return f"{name} {found}, not {said}"
    return ""
