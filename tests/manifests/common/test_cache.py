"""Files of a web server in the cache: whole and right whatever goes wrong on the way, and no more than it may hold."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import WebServer, serving

from rhas.manifests.common import cache as caches
from rhas.manifests.common import stores
from rhas.manifests.common.cache import FileCache, NoRoom
from rhas.manifests.common.digest import file_digest, file_key
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.stores import StoreError, WrongBytes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name, size in (("a.mp4", 100_000), ("b.mp4", 100_000), ("c.mp4", 100_000), ("empty.mp4", 0)):
        (folder / name).write_bytes(os.urandom(size))
    with serving(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(stores, "BLOCK_BYTES", 30_000)
    monkeypatch.setattr(stores, "PARALLEL", 1)  # so that faults come in order


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", 250_000)


def held(cache: FileCache) -> list[Path]:
    return [
        path for path in cache.root().iterdir() if path.suffix not in (".lock", "") or path.suffix == ".part"
    ]


def gets(server: WebServer) -> list[str]:
    return [path for method, path, _ in server.asked if method == "GET"]


def test_a_file_is_fetched_once_and_has_the_stores_key(server: WebServer, cache: FileCache) -> None:
    remote = Remote(f"{server.url}/a.mp4")
    for _ in range(2):
        with cache.local(remote) as path:
            assert path.read_bytes() == (server.folder / "a.mp4").read_bytes()
            assert path.suffix == ".mp4"
            assert file_key(path) == file_key(remote)
    assert len(gets(server)) == 4  # blocks of 30 000
    assert file_digest(server.folder / "a.mp4") == file_digest(path)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("faults", [["500", "503"], ["cut"], ["cut", "500", "cut"]])
def test_what_fails_for_a_while_is_asked_for_again(
    server: WebServer, cache: FileCache, faults: list[str], ranges: bool
) -> None:
    server.faults.extend(faults)
    server.ranges = ranges
    with cache.local(Remote(f"{server.url}/a.mp4")) as path:
        assert path.read_bytes() == (server.folder / "a.mp4").read_bytes()
    assert not server.faults


def test_wrong_bytes_are_seen_by_the_servers_checksum(server: WebServer, cache: FileCache) -> None:
    server.digests = True
    server.faults.extend(["", "wrong"])
    with cache.local(Remote(f"{server.url}/a.mp4")) as path:
        assert path.read_bytes() == (server.folder / "a.mp4").read_bytes()
    server.always = "wrong"
    with pytest.raises(WrongBytes, match="sha256"), cache.local(Remote(f"{server.url}/b.mp4")):
        pass
    assert held(cache) == [path]


def test_wrong_bytes_are_seen_by_what_is_known_of_the_movie(server: WebServer, cache: FileCache) -> None:
    remote, digest = Remote(f"{server.url}/a.mp4"), file_digest(server.folder / "a.mp4")
    server.always = "wrong"
    with pytest.raises(StoreError, match="has changed"), cache.local(remote, digest=digest):
        pass
    assert held(cache) == []
    server.always = ""
    with cache.local(remote, digest=digest) as path:
        assert file_digest(path) == digest


def test_a_file_that_changes_is_another(server: WebServer, cache: FileCache) -> None:
    remote = Remote(f"{server.url}/a.mp4")
    key = file_key(remote)
    (server.folder / "a.mp4").write_bytes(os.urandom(100_000))
    assert file_key(remote) != key
    with pytest.raises(StoreError, match="changed since it was opened"), cache.local(remote, key=key):
        pass


def test_it_holds_no_more_than_it_may_and_what_is_used_stays(server: WebServer, cache: FileCache) -> None:
    a, b, c = (Remote(f"{server.url}/{name}.mp4") for name in "abc")
    with cache.local(a) as path_a:
        with cache.local(b) as path_b:
            pass
        with cache.local(c) as path_c:  # b was used last, but a is in use
            assert path_a.exists() and not path_b.exists()
            assert sum(path.stat().st_size for path in held(cache)) <= 250_000
    with cache.local(a, key=file_key(path_a)):
        pass
    with cache.local(b):
        assert path_a.exists() and not path_c.exists()


def test_who_needs_room_waits_and_who_prefetches_does_not(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FileCache(tmp_path / "cache", 150_000)
    a, b = Remote(f"{server.url}/a.mp4"), Remote(f"{server.url}/b.mp4")
    with cache.local(a):
        cache.prefetch(b).join()
        assert len(held(cache)) == 1
        came: list[bytes] = []

        def need() -> None:
            with cache.local(b) as path:
                came.append(path.read_bytes())

        thread = threading.Thread(target=need)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive() and not came
    thread.join()
    assert came == [(server.folder / "b.mp4").read_bytes()]
    monkeypatch.setattr(caches, "WAIT_S", 0.5)
    with cache.local(b), pytest.raises(NoRoom, match="other movies"), cache.local(a):
        pass
    with pytest.raises(NoRoom, match="--cache-gib"), FileCache(tmp_path / "small", 99_999).local(a):
        pass


def test_a_prefetched_file_is_there_when_it_is_needed(server: WebServer, cache: FileCache) -> None:
    remote = Remote(f"{server.url}/a.mp4")
    cache.prefetch(remote).join()
    before = len(gets(server))
    with cache.local(remote) as path:
        assert path.stat().st_size == 100_000
    assert len(gets(server)) == before == 4


def test_processes_fetch_it_once_together(server: WebServer, cache: FileCache) -> None:
    code = (
        "import sys; from pathlib import Path; from rhas.manifests.common.cache import FileCache\n"
        "from rhas.manifests.common.locations import Remote\n"
        "with FileCache(Path(sys.argv[1]), 250_000).local(Remote(sys.argv[2])) as path: print(path.stat().st_size)"
    )
    command = [sys.executable, "-c", code, str(cache.folder), f"{server.url}/a.mp4"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["100000\n"] * 3
    assert len(gets(server)) == 1  # one block, as blocks are there


def test_what_a_killed_process_left_makes_room(server: WebServer, cache: FileCache) -> None:
    left = cache.root() / "0123.mp4.part"
    left.write_bytes(bytes(200_000))
    with cache.local(Remote(f"{server.url}/a.mp4")):
        assert not left.exists()


def test_passwords_and_signatures_work_and_are_not_told(server: WebServer, cache: FileCache) -> None:
    server.password, server.only_get = "hidden", True
    host = server.url.removeprefix("http://")
    with cache.local(Remote(f"http://me:hidden@{host}/a.mp4?X-Amz-Signature=a%2Fb%3D")) as path:
        assert path.read_bytes() == (server.folder / "a.mp4").read_bytes()
    assert {path for _, path, _ in server.asked} == {"/a.mp4?X-Amz-Signature=a%2Fb%3D"}  # as it was given
    for password, name, kind in (
        ("hidden", "none.mp4", FileNotFoundError),
        ("secret", "a.mp4", PermissionError),
    ):
        remote = Remote(f"http://me:{password}@{host}/{name}?token=secret")
        with pytest.raises(kind) as caught, cache.local(remote):
            pass
        told = f"{caught.value!s} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
        assert name in told and "hidden" not in told and "secret" not in told


@pytest.mark.parametrize(("status", "tries"), [("503", 4), ("418", 1)])
def test_a_store_that_does_not_answer(server: WebServer, cache: FileCache, status: str, tries: int) -> None:
    server.always = status
    with pytest.raises(StoreError, match=f"HTTP status {status}"), cache.local(Remote(f"{server.url}/a.mp4")):
        pass
    assert [part for *_, part in server.asked].count("bytes=0-29999") == tries
    with pytest.raises(StoreError, match="can't be used"):
        file_key(Remote("http://127.0.0.1:1/a.mp4"))


def test_an_empty_file(server: WebServer, cache: FileCache) -> None:
    with cache.local(Remote(f"{server.url}/empty.mp4")) as path:
        assert path.read_bytes() == b""


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(caches.FOLDER, raising=False)
    monkeypatch.setattr(caches.tempfile, "gettempdir", lambda: str(tmp_path))
    assert FileCache().root().stat().st_mode & 0o777 == 0o700
    FileCache().root().rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"rhas-cache-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="of this user's own"):
        FileCache().root()
    monkeypatch.setenv(caches.GIB, "much")
    with pytest.raises(InputError, match="a number of GiB"):
        FileCache().bound()
