"""A disk that fills up, at several moments, on a small file system in a mount namespace; and one that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_segmenter import toy_features

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / "src"), str(ROOT / "tests" / "helpers"), os.environ.get("PYTHONPATH", "")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, PATHS)), "OMP_NUM_THREADS": "1"}
MOUNT = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'


def on_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that sees 8 MiB of disk at `folder`; they are gone with it."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*own, "sh", "-c", MOUNT, str(folder), "true"], capture_output=True).returncode
    ):
        pytest.skip("no mount namespaces here (util-linux's unshare, and a kernel that lets this user)")
    return subprocess.run(
        [*own, "sh", "-c", MOUNT, str(folder), *command],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("scenario", "free_kib", "full"),
    [
        ("stores", 0, 4), ("stores", 24, 4), ("stores", 100, 3), ("stores", 150, 3), ("stores", 400, 1),
        ("extracts", 40, 1), pytest.param("trains", 400, 1, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_full_disk_is_named_and_nothing_is_lost(
    tmp_path: Path, scenario: str, free_kib: int, full: int
) -> None:
    command = [sys.executable, "-m", "tests.faults.full_disk", scenario, str(tmp_path), str(free_kib)]
    done = on_small_disk(tmp_path, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert len(done.stdout.splitlines()) >= full


@pytest.mark.parametrize(
    "command",
    [
        "extract --movies {manifest}",
        "train --shards {features}",
        "benchmark --models actdiff --shards {features}",
    ],
)
def test_a_read_only_disk_is_named(tmp_path: Path, command: str) -> None:
    manifest, mounted = tmp_path / "manifest.csv", tmp_path / "disk"
    manifest.write_text("movie_id,video,person_id,reference\na,a.mp4,p,the tall person\n")
    given = command.format(manifest=manifest, features=toy_features(tmp_path / "features"))
    mounted.mkdir()
    rhas = f"{sys.executable} -m rhas.pipeline.cli {given} --out {mounted}/out"
    done = on_small_disk(mounted, "sh", "-c", f"mount -o remount,ro {mounted} && {rhas}")
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert f"{mounted}/out" in done.stderr and "Read-only file system" in done.stderr
