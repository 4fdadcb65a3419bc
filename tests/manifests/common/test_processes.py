"""What is asked of the system for the processes that others start."""

from __future__ import annotations

import signal
import subprocess

import pytest

from rhas.manifests.common.errors import InputError, RhasError
from rhas.manifests.common.processes import check_temporary_folder, start_patiently


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_that_is_too_deep_for_sockets_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(variable, raising=False)
    check_temporary_folder()
    # sun_path holds 108 bytes with its end: man 7 unix.
    session = "/ray/session_2026-11-27_01-55-58_615247_2941100/sockets/plasma_store"
    monkeypatch.setenv(name, "/" + "d" * (107 - len(session) - 1))
    check_temporary_folder()
    monkeypatch.setenv(name, "/" + "d" * (107 - len(session)))
    with pytest.raises(InputError, match=f"^{name}: got '/d"):
        check_temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_temporary_folder()


class SlowRay:
    """Its first starts take too long, and leave a process."""

    def __init__(self, fails: int) -> None:
        self.fails, self.left = fails, list[subprocess.Popen[bytes]]()

    def start(self) -> None:
        assert all(process.wait() == -signal.SIGKILL for process in self.left), "it slows down the next"
        if len(self.left) < self.fails:
            self.left.append(subprocess.Popen(["sleep", "600"]))
            # As ray/_private/node.py has it.
            raise Exception("The current node timed out during startup. This could happen because some …")


def test_a_ray_that_is_slow_to_start_is_started_again_but_not_for_ever() -> None:
    patient, hopeless = SlowRay(2), SlowRay(9)
    start_patiently(patient.start)
    assert len(patient.left) == 2
    with pytest.raises(RhasError, match="three times"):
        start_patiently(hopeless.start)
    assert len(hopeless.left) == 3
    with pytest.raises(ZeroDivisionError):
        start_patiently(lambda: 1 / 0)
