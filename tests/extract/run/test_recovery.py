"""Workers killed in the middle of a run are replaced, and the result is that of an undisturbed run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from extractions import WORKERS, assert_same, problems, series
from numbered_movies import regular, write_movie
from process_tree import processes

from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.accounts import EXIT_DONE
from rhas.extract.run.progress import Snapshot
from rhas.extract.run.run import extract
from rhas.manifests.tables.inputs import load_inputs


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    write_movie(folder / "a.mp4", regular(240))
    path = folder / "manifest.csv"
    path.write_text(
        "movie_id,video,person_id,reference\na,a.mp4,p,the tall person\na,a.mp4,q,the person on the left\n"
    )
    return path


@pytest.fixture(scope="module")
def undisturbed(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("features")
    run(manifest, out, None)
    return series(out)


def run(manifest: Path, out: Path, victim: str | None, sign: int = signal.SIGKILL, ray: bool = False) -> int:
    """Extracts; after the first finished window, sends the processes of one kind of worker a signal, once."""
    config = load_config("tiny-random", ["decode.window_frames=8", "detector.follow_frames=2"])
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
    options = RunOptions(batch=8, deadline_s=deadline_s, ray=ray)
    summary = extract(load_inputs(manifest), out, config, options, listen)
    assert summary.exit_code == EXIT_DONE, summary.failures
    assert bool(killed) == bool(victim)
    assert sign != signal.SIGSTOP or successors, "nobody took the place of the stopped process"
    return summary.report["frames"]


VICTIMS = [name for kind, name in WORKERS.items() if kind != "linker"]  # which nothing here asks for


# A stopped decoder is one that never answers again, as when it spins for ever.
CASES = [*((victim, signal.SIGKILL) for victim in VICTIMS), (VICTIMS[3], signal.SIGSTOP)]


@pytest.mark.parametrize(
    ("victim", "sign", "ray"),
    # Those of Ray are killed at random moments as well, in `tests/faults`.
    [*((*case, False) for case in CASES), (*CASES[0], True)]
    + [pytest.param(*case, True, marks=pytest.mark.long) for case in CASES[1:]],
)
@pytest.mark.usefixtures("ray_here")
def test_a_worker_that_is_killed_or_stuck_is_replaced(
    manifest: Path, undisturbed: dict, tmp_path: Path, victim: str, sign: int, ray: bool
) -> None:
    frames = run(manifest, tmp_path, victim, sign, ray)
    assert frames == 120  # every window was finished once
    assert problems(tmp_path) == []
    assert_same(undisturbed, series(tmp_path))


def test_what_a_killed_writer_was_writing_is_cleared(manifest: Path, tmp_path: Path) -> None:
    config = load_config("tiny-random", ["decode.window_frames=8"])
    left = tmp_path / "shards" / ".a.h5.1.tmp"  # as one leaves it that dies within a shard

    def listen(now: Snapshot) -> None:
        if now.windows_done and not left.exists():
            left.parent.mkdir(exist_ok=True)
            left.write_bytes(b"half a shard")
            seen.append(now.windows_done)

    seen: list[int] = []
    assert (
        extract(load_inputs(manifest), tmp_path, config, RunOptions(batch=8), listen).exit_code == EXIT_DONE
    )
    assert seen and not list(tmp_path.rglob("*.tmp"))


@pytest.mark.usefixtures("ray_here")
def test_an_existing_cluster_is_joined_and_left_running(manifest: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    import ray

    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "rhas.pipeline.cli", "extract", "--movies", str(manifest), "--out", str(tmp_path),
               "--preset", "tiny-random", "--address", address]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == EXIT_DONE, done.stdout + done.stderr
    assert "240 promised = 240 written" in done.stdout
    assert ray.cluster_resources()["CPU"] == 2
