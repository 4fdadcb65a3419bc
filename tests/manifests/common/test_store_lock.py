"""One writer at a time in an object store, on a server that speaks S3."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from object_store import BUCKET, ObjectStore, object_store

from rhas.manifests.common import lock
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.store_lock import store_locked

OWN = Remote(f"s3://{BUCKET}/f/lock")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BEAT_S": 0.2, "PATIENCE_S": 2.0, "SETTLE_S": 0.1}.items():
        monkeypatch.setattr(lock, name, value)


def write(store: ObjectStore, name: str, record: str) -> None:
    store.client.put_object(Bucket=BUCKET, Key=name, Body=record.encode())


def test_it_is_there_while_it_is_held_and_beats(store: ObjectStore) -> None:
    with store_locked(OWN):
        first = store.read("f/lock").decode()
        assert first.startswith(f"host {socket.gethostname()}, process {os.getpid()}, boot ")
        until = time.monotonic() + 20
        while store.read("f/lock").decode() == first:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(InputError, match=r"s3://bucket/f/lock.*no other run"), store_locked(OWN):
            pass
    assert store.names("f/") == []


@pytest.mark.parametrize("name", ["f/lock", "f/ranks/0-of-3/lock"])
def test_who_lives_elsewhere_is_heard(store: ObjectStore, name: str) -> None:
    over = threading.Event()

    def beat() -> None:
        for number in range(1000):
            write(store, name, f"host other, process 1, boot other, beat {number}")
            if over.wait(0.1):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        while not store.names("f/"):
            time.sleep(0.01)
        with (
            pytest.raises(InputError, match="host other"),
            store_locked(OWN, lambda: [Remote(f"s3://{BUCKET}/{name}")]),
        ):
            pass
    finally:
        over.set()
        thread.join()
        store.client.delete_object(Bucket=BUCKET, Key=name)


def test_who_died_elsewhere_is_waited_for_and_who_died_here_is_not(store: ObjectStore) -> None:
    write(store, "f/lock", "host other, process 1, boot other, beat 000000007")
    began = time.monotonic()
    with store_locked(OWN):
        assert time.monotonic() - began >= lock.PATIENCE_S
    gone = subprocess.Popen(["true"])
    gone.wait()
    write(
        store,
        "f/lock",
        f"host {socket.gethostname()}, process {gone.pid}, boot {lock.boot()}, beat 000000007",
    )
    lock.PATIENCE_S = 1000.0  # as the fixture had it, it will be again
    with store_locked(OWN):
        pass


def test_who_lost_it_ends(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(
        os, "kill", lambda pid, number: (pid, number) == (os.getpid(), signal.SIGTERM) and ended.set()
    )
    with store_locked(OWN):
        write(store, "f/lock", "host other, process 1, boot other, beat 000000001")
        assert ended.wait(20)
    assert b"other" in store.read("f/lock")  # somebody else's stays
    store.client.delete_object(Bucket=BUCKET, Key="f/lock")
