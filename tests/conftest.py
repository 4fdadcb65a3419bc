"""Fixtures that several packages' tests share, and what lets tests run in three processes at once (`-n 3`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before torch and Ray are loaded, here and in what tests start. Where there are more threads than free cores, those
# that wait for each other would spin most of the time away, and Ray's workers, which are made nice, would starve.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("RAY_worker_niceness", "0")

# The same examples in every run, and no limit to the time that one takes: that would measure what else runs here.
settings.register_profile(
    "rhas", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rhas")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, which end a Ray that runs in their process, then those of `ray_here`, then the short ones.

    What comes last should be short: then no process waits long for the others. One file of `truth` takes minutes.
    """

    def place(item: pytest.Item) -> int:
        if item.path.parent.name == "cluster":
            return 0
        if "ray_here" in item.fixturenames:  # type: ignore[attr-defined]
            return 1
        return 2 if item.path.parent.name == "truth" else 3

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, with `-n`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay in one process, and so do the two files that look at one demo, which takes long to make."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return file.replace("pipeline/test_report.py", "pipeline/test_demo.py")

    return Files(config, log)


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray for all tests: starting one takes seconds. `extract` uses it instead of its own."""
    import ray

    import rhas.extract.run.ray_pool  # noqa: F401  sets Ray's environment before Ray starts

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real movies from outside the repository. Tests of them skip where the folder isn't there."""
    folder = Path(__file__).parents[2] / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder
