"""Whatever is killed, a rerun ends as if nothing had been.

`make faults` kills more, also where each frame is grounded by itself, in one pass, which is the second of the two here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.kill_extraction import (
    TRACKED,
    Undisturbed,
    kill_drivers,
    kill_workers,
    write_movies,
)

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "helpers")}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movies(tmp_path_factory.mktemp("kills") / "movies")


@pytest.fixture(scope="module")
def tracked(manifest: Path, tmp_path_factory: pytest.TempPathFactory, ray_here: None) -> Undisturbed:
    return Undisturbed.extracted(manifest, tmp_path_factory.mktemp("tracked") / "alone", TRACKED)


def left_shared_memory() -> set[Path]:
    """Our files there that no process has open or mapped, as those have theirs that run beside this test."""
    files = {path for path in Path("/dev/shm").iterdir() if path.stat().st_uid == os.getuid()}
    held = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            held |= {line.split(maxsplit=5)[-1] for line in (process / "maps").read_text().splitlines()}
            for link in (process / "fd").iterdir():
                with suppress(OSError):  # closed
                    held.add(str(link.readlink()))
    return {path for path in files if path.exists() and str(path) not in held}


@pytest.mark.usefixtures("ray_here")
def test_killed_workers_change_nothing_of_tracks(tracked: Undisturbed, tmp_path: Path) -> None:
    met = kill_workers(tracked, tmp_path, kills=4, seed=3)
    assert sum(met.values()) - met["extractions"] == 4


def test_killed_drivers_lose_nothing_and_leave_nothing(tracked: Undisturbed, tmp_path: Path) -> None:
    before = left_shared_memory()
    met = kill_drivers(tracked, tmp_path, kills=2, seed=1)
    assert met["driver"] == 2 and left_shared_memory() <= before


def test_killed_trainings_end_with_the_same_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.kill_training", str(tmp_path), "2", "2"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 2
