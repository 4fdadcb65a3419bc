"""Fixtures that several packages' tests share, and what lets tests run in two processes at once (`-n 2`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch and Ray are loaded, here and in what tests start. Where there are more threads than free cores, those
# that wait for each other would spin most of the time away, and Ray's workers, which are made nice, would starve.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("RAY_worker_niceness", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray's first, which take longest: where what comes last is short, no process waits long for the other."""
    items.sort(key=lambda item: "ray_here" not in item.fixturenames)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray for all tests: starting one takes seconds. `extract` uses it instead of its own."""
    import ray

    import extract.ray_stage  # noqa: F401  sets Ray's environment before Ray starts

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real films from outside the repository. Tests of them skip where the folder isn't there."""
    folder = Path(__file__).parents[2] / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder
