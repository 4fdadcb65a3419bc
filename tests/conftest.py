"""Fixtures that several packages' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


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
