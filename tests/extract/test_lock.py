import os
import re
import socket
import subprocess
import sys

import pytest

from extract.lock import locked
from manifests.errors import InputError

HOLD = """
import sys
from pathlib import Path
from extract.lock import locked
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


def test_a_folder_that_cant_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"), locked(tmp_path / "nosuch" / "lock"):
        pass


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("extract.lock.fcntl.flock", flock)
    with pytest.raises(InputError, match="No locks available"), locked(tmp_path / "lock"):
        pass
