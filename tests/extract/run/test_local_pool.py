"""Workers as processes: what they are sent and answer, and what becomes of calls when one ends."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered_movies import regular, write_movie
from process_tree import alive, process_tree

from rhas.extract.config import RunOptions, load_config
from rhas.extract.decode.process import DecodeError
from rhas.extract.run.local_pool import LocalPool, LocalWorker, local_pool
from rhas.extract.run.parcels import SMALL, Parcel, receive, send
from rhas.extract.run.pool import WorkerLost, WorkerUnfit


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": (1, "b")},
        np.arange(5, dtype=np.uint8),
        np.zeros((0, 4, 3)),
        {
            "x": np.arange(70_000, dtype=np.float32).reshape(7, -1),
            "y": [np.arange(9, dtype=np.int16), b"z" * SMALL],
        },
        np.arange(60_000).reshape(200, 300)[::2, ::3],
        np.array(["some", "text", None] * 5000, dtype=object),
    ],
    ids=str,
)
def test_a_parcel_brings_what_was_packed(value: Any) -> None:
    before = open_files()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        send(here, "head", [Parcel.of(value), Parcel.of(7)])
        received = receive(there)
        assert received is not None
        head, (parcel, seven) = received
        send(there, "on", [parcel])  # passed on without being opened
        passed = receive(here)
        assert passed is not None
        assert head == "head" and seven.open() == 7
        for brought in (parcel.open(), passed[1][0].open()):
            np.testing.assert_equal(brought, value)
        here.close()
        assert receive(there) is None
    del received, passed, parcel, seven, brought
    assert open_files() == before


def test_a_large_parcel_is_mapped_and_not_copied() -> None:
    parcel = Parcel.of(np.zeros(1 << 24, np.uint8))
    first, second = parcel.open(), parcel.open()
    assert not first.flags.owndata and not first.flags.writeable
    del parcel
    assert first.sum() == second.sum() == 0  # what is open stays


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[LocalPool]:
    with local_pool(load_config("tiny-random"), RunOptions(decoders=2, workers=1), tmp_path) as made:
        yield made


def told(pool: LocalPool, ticket: Any, within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while not pool.wait([ticket], 0.1):
        assert time.monotonic() < deadline
    return pool.result(ticket)


def test_what_a_worker_raises_comes_with_its_traceback(pool: LocalPool, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no such file") as caught:
        told(pool, pool.call(pool.decoders[0], "probe", "a", tmp_path / "none.mp4"))
    assert "in check_file" in caught.value.__notes__[0]


def test_calls_of_a_worker_that_ends_are_lost_and_the_next_ones_are_not(
    pool: LocalPool, tmp_path: Path
) -> None:
    decoder, other = pool.decoders
    assert told(pool, pool.call(decoder, "ready")) is None
    first = decoder.process
    assert first is not None
    os.kill(first.pid, signal.SIGSTOP)
    lost, pair = pool.call(decoder, "ready"), pool.call_two(decoder, "ready")
    os.kill(first.pid, signal.SIGKILL)
    for ticket in (lost, *pair):
        with pytest.raises(WorkerLost, match="signal 9"):
            told(pool, ticket)
    assert told(pool, pool.call(decoder, "ready")) is None and told(pool, pool.call(other, "ready")) is None
    assert decoder.process is not first
    with pytest.raises(WorkerLost):  # what it should have been given is lost as well
        told(pool, pool.call(other, "probe", "a", lost))


def test_one_that_was_idle_when_it_ended_is_there_again(pool: LocalPool) -> None:
    decoder = pool.decoders[0]
    told(pool, pool.call(decoder, "ready"))
    process = decoder.process
    assert process is not None
    process.kill()
    process.wait()
    assert told(pool, pool.call(decoder, "ready")) is None


def test_frames_go_from_worker_to_worker(pool: LocalPool, tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mp4", regular(30))
    index, grid = told(pool, pool.call(pool.decoders[0], "probe", "a", tmp_path / "a.mp4"))
    assert len(index.start_s) == 30 and len(grid.time_s) == 15
    again = pool.call_two(pool.decoders[1], "probe", "a", tmp_path / "a.mp4")
    np.testing.assert_array_equal(told(pool, again[1]).time_s, grid.time_s)  # each of the two by itself


def test_a_worker_that_can_not_be_made_is_unfit(pool: LocalPool, tmp_path: Path) -> None:
    pool.writers = [LocalWorker("writer", "WriteWorker", ("one", "too many"))]
    with pytest.raises(WorkerUnfit, match=r"TypeError: .*positional") as caught:
        told(pool, pool.call(pool.writers[0], "write", None))
    assert "Traceback" in caught.value.traceback


def test_a_worker_that_can_not_be_imported_is_unfit(pool: LocalPool, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')")
    pool.writers = [LocalWorker("writer", "WriteWorker", (tmp_path,), {"PYTHONPATH": str(tmp_path)})]
    with pytest.raises(WorkerUnfit, match="ImportError: not this one") as caught:
        told(pool, pool.call(pool.writers[0], "write", None))
    assert "Traceback" in caught.value.traceback


def test_processes_end_with_the_pool(tmp_path: Path) -> None:
    before, files = set(process_tree(os.getpid())), open_files()
    with local_pool(load_config("tiny-random"), RunOptions(decoders=2, workers=1), tmp_path) as pool:
        for worker in pool.decoders:
            pool.call(worker, "ready")
        started = set(process_tree(os.getpid())) - before
        assert len(started) == 2
    assert not any(map(alive, started))
    del pool, worker
    assert open_files() == files


def test_processes_end_with_their_driver(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.local_pool import LocalPool
pool = LocalPool(load_config("tiny-random"), RunOptions(workers=1), Path({str(tmp_path)!r}))
ticket = pool.call(pool.decoders[0], "ready")
while not pool.wait([ticket], 1): pass
print(pool.decoders[0].process.pid, flush=True)
import time; time.sleep(60)
"""
    driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 10
    while alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)
