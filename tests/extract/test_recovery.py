"""Workers killed in the middle of a run are replaced, and the result is that of an undisturbed run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from numbered_films import regular, write_film
from process_tree import process_tree

from extract.accounts import EXIT_DONE
from extract.config import RunOptions, load_config
from extract.progress import Snapshot
from extract.run import extract
from manifests.inputs import load_inputs
from manifests.reader import FeaturesReader
from manifests.verify import verify

pytestmark = pytest.mark.usefixtures("ray_here")


def processes(name: str) -> list[int]:
    """Processes started by this one, directly or not, whose command line contains `name`."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in process_tree(os.getpid())}
    return [
        pid for pid, path in commands.items() if path.exists() and name in path.read_text(errors="replace")
    ]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "a.mp4", regular(240))
    path = folder / "manifest.csv"
    path.write_text(
        "movie_id,video,person_id,reference\na,a.mp4,p,the tall person\na,a.mp4,q,the person on the left\n"
    )
    return path


def features(out: Path) -> list[np.ndarray]:
    return [np.array(s.holistic[...], np.float32) for s in FeaturesReader(out).persons()] + [
        np.array(s.partial[...], np.float32) for s in FeaturesReader(out).persons()
    ]


@pytest.fixture(scope="module")
def undisturbed(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    out = tmp_path_factory.mktemp("features")
    run(manifest, out, None)
    return features(out)


def run(manifest: Path, out: Path, victim: str | None, sign: int = signal.SIGKILL) -> int:
    """Extracts; after the first finished window, sends the processes of one kind of worker a signal, once."""
    config = load_config("tiny-random", ["decode.window_frames=8", "detector.carry_frames=2"])
    killed: list[int] = []
    successors: set[int] = set()

    def listen(now: Snapshot) -> None:
        if victim and now.windows_done and not killed:
            killed.extend(processes(victim))
            for pid in killed:
                os.kill(pid, sign)
        successors.update(set(processes(victim or "nobody")) - set(killed) if killed else ())

    # What is killed is noticed at once; what is stopped, when it has given nothing for this long.
    deadline_s = 3 if sign == signal.SIGSTOP else 30
    summary = extract(load_inputs(manifest), out, config, RunOptions(batch=8, deadline_s=deadline_s), listen)
    assert summary.exit_code == EXIT_DONE, summary.failures
    assert bool(killed) == bool(victim)
    assert sign != signal.SIGSTOP or successors, "nobody took the place of the stopped process"
    return summary.report["frames"]


VICTIMS = ["ray::ModelWorker", "ray::DecodeWorker", "ray::WriteWorker", "extract.decode.child"]


# A stopped decoder is one that never answers again, as when it spins for ever.
@pytest.mark.parametrize(
    ("victim", "sign"), [*((v, signal.SIGKILL) for v in VICTIMS), (VICTIMS[3], signal.SIGSTOP)]
)
def test_a_worker_that_is_killed_or_stuck_is_replaced(
    manifest: Path, undisturbed: list[np.ndarray], tmp_path: Path, victim: str, sign: int
) -> None:
    frames = run(manifest, tmp_path, victim, sign)
    assert frames == 120  # every window was finished once
    assert [problem for check in verify(tmp_path) for problem in check.problems] == []
    for ours, expected in zip(features(tmp_path), undisturbed, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_an_existing_cluster_is_joined_and_left_running(manifest: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    import ray

    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "pipeline.cli", "extract", "--movies", str(manifest), "--out", str(tmp_path),
               "--preset", "tiny-random", "--address", address]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == EXIT_DONE, done.stdout + done.stderr
    assert "240 promised = 240 written" in done.stdout
    assert ray.cluster_resources()["CPU"] == 2
