"""One run at a time: who holds a lock is named, and whoever died holds none."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rhas.manifests.common import file_systems, lock
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.lock import locked

HOLD = """
import sys
from pathlib import Path
from rhas.manifests.common.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path, holder):
    expected = (
        f"{tmp_path / 'lock'}: got 'host {socket.gethostname()}, process {holder.pid}': expected no other run"
    )
    with pytest.raises(InputError, match=re.escape(expected)), locked(tmp_path / "lock"):
        pass
    assert str(holder.pid) in (tmp_path / "lock").read_text()  # the refused one left it alone


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert str(holder.pid) in (tmp_path / "lock").read_text()
    with locked(tmp_path / "lock"):
        text = (tmp_path / "lock").read_text()
        assert text == f"host {socket.gethostname()}, process {os.getpid()}\n"
    assert (tmp_path / "lock").read_text() == ""


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    assert (tmp_path / "lock").read_text() == ""
    with locked(tmp_path / "lock"):
        pass


def test_it_locks_within_a_process_too(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(InputError), locked(tmp_path / "lock"):
        pass


def test_the_folder_is_made(tmp_path):
    with locked(tmp_path / "runs" / "a" / "lock"):
        pass


def test_a_folder_that_cant_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "lock"
    with pytest.raises(InputError, match="lock: expected a file that can be written"), locked(path):
        pass


def test_a_file_opened_and_closed_by_the_holder_frees_nothing(tmp_path):
    with locked(tmp_path / "lock"):
        (tmp_path / "lock").read_text()
        with pytest.raises(subprocess.CalledProcessError) as refused:
            subprocess.run(
                [sys.executable, "-c", HOLD, str(tmp_path / "lock")], check=True, capture_output=True
            )
    assert f"process {os.getpid()}".encode() in refused.value.stderr


FORK = """
import os, sys, time
from pathlib import Path
from rhas.manifests.common.lock import locked
with locked(Path(sys.argv[1])):
    if not os.fork():
        print(os.getpid(), flush=True)  # by now the child has let go; the parent could be faster
    time.sleep(600)
"""


def test_a_forked_process_does_not_keep_the_lock_of_a_killed_one(tmp_path):
    """As those that read samples ahead, and notice only later that they are alone."""
    command = [sys.executable, "-c", FORK, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(InputError, match=f"process {parent.pid}'"), locked(tmp_path / "lock"):
                pass  # the child has not freed what is its parent's
            parent.kill()
            parent.wait()
            with locked(tmp_path / "lock"):
                os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_process_that_ends_leaves_the_lock_to_its_parent(tmp_path):
    with locked(tmp_path / "lock"):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(str, (1,)) == "1"
        text = (tmp_path / "lock").read_text()
        assert text.endswith(f"process {os.getpid()}\n")
        with pytest.raises(InputError), locked(tmp_path / "lock"):
            pass


def test_links_and_pipes_in_place_of_the_lock_are_refused(tmp_path):
    """The folder may come from somebody else: what the link shows to must not be emptied."""
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(InputError, match="link: expected a file that can be written"),
        locked(tmp_path / "link"),
    ):
        pass
    with (
        pytest.raises(InputError, match="pipe: expected a file system that can lock"),
        locked(tmp_path / "pipe"),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


# --- where each machine keeps locks of its own: simulated by a flock that always grants, and short times


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A lock file on a file system that knows locks only within a machine."""
    for name, seconds in (("BEAT_S", 0.1), ("PATIENCE_S", 0.5), ("SETTLE_S", 0.2)):
        monkeypatch.setattr(lock, name, seconds)
    monkeypatch.setattr(lock, "is_local", lambda path: False)
    monkeypatch.setattr(lock.fcntl, "flock", lambda file, operation: None)
    return tmp_path / "lock"


def other(beat):
    """What another machine writes."""
    return f"host other, process 7, boot 0-0, beat {beat:09d}\n"


@contextmanager
def writing(path, records, every_s=0.1):
    """Meanwhile another machine writes these records, one after the other."""
    over = threading.Event()

    def write():
        for record in records:
            path.write_text(record)
            if over.wait(every_s):
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wait_for(what):
    until = time.monotonic() + 60  # for what never comes
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    assert what()


def test_another_machine_that_beats_is_left_alone_and_one_that_does_not_is_replaced(alone):
    alone.write_text(other(0))
    # "a run": its record was just being written
    refused = pytest.raises(InputError, match=r"got '(host other, process 7|a run)")
    with writing(alone, map(other, range(1, 99))), refused, locked(alone):
        pass
    assert alone.read_text().startswith("host other")
    with locked(alone):
        first = alone.read_text()
        assert first.startswith(f"host {socket.gethostname()}, process {os.getpid()}, boot ")
        wait_for(lambda: alone.read_text() > first)
    assert alone.read_text() == ""


def test_of_two_that_begin_at_once_the_one_that_wrote_last_goes_on(alone, monkeypatch):
    monkeypatch.setattr(lock, "pause", lambda seconds: alone.write_text(other(0)))
    with pytest.raises(InputError, match="host other"), locked(alone):
        pass
    assert alone.read_text() == other(0)


def test_who_has_lost_the_lock_to_another_machine_ends(alone, monkeypatch):
    sent = []
    monkeypatch.setattr(lock.os, "kill", lambda process, number: sent.append((process, number)))
    with locked(alone):
        alone.write_text(other(0))
        wait_for(lambda: sent == [(os.getpid(), signal.SIGTERM)])
    assert alone.read_text() == other(0)


def test_file_systems_are_told_by_the_last_mount_above_a_path(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    rows = [
        ("/", "ext4"),
        ("/data", "xfs"),
        ("/data/with\\040space", "nfs4"),
        ("/data", "beegfs"),
        ("/dat", "zfs"),
    ]
    mounts.write_text("".join(f"1 2 0:1 / {place} rw shared:1 - {kind} server rw\n" for place, kind in rows))
    monkeypatch.setattr(file_systems, "_MOUNTS", mounts)
    paths = ["/data/a/lock", "/data/with space/lock", "/dat/lock", "/other"]
    assert [file_systems.kind_of(Path(path)) for path in paths] == ["beegfs", "nfs4", "zfs", "ext4"]
    assert not file_systems.is_local(Path("/data/a")) and file_systems.is_local(Path("/dat/a"))


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("rhas.manifests.common.lock.fcntl.flock", flock)
    with pytest.raises(InputError, match="No locks available"), locked(tmp_path / "lock"):
        pass
