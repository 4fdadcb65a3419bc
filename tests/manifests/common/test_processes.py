"""What is asked of the system for the processes that others start."""

from __future__ import annotations

import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.common.processes import check_temporary_folder


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
