"""What memory is left, by the files that say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.manifests.common import memory


def test_the_least_of_machine_and_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.available_bytes()
    assert machine is not None and 0 < machine < 1 << 50
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(memory, "_CGROUPS", ((str(limit), str(used)),))
    unlimited = memory.available_bytes()  # without a container's files
    assert unlimited is not None and unlimited > 1 << 20
    limit.write_text("3000000\n")
    used.write_text("2000000\n")
    assert memory.available_bytes() == 1_000_000
    used.write_text("4000000\n")
    assert memory.available_bytes() == 0
    limit.write_text("max\n")
    assert (memory.available_bytes() or 0) > 1 << 20
