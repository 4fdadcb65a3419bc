"""What happens on a disk that fills up: run below a folder on a small file system of its own.

    python -m tests.faults.full_disk SCENARIO FOLDER FREE_KIB     # FOLDER's file system has 8 MiB

Each scenario goes on until the disk is full, checks what that did, makes room, and ends what was begun.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from extractions import problems
from feature_folders import make_movie, make_windows, same_window
from tiny_config import TINY
from toy_segmenter import toy_features

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.shards.format import write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard, read_part
from rhas.train.runs.checkpoint import read_tensors, write_tensors
from tests.faults.kill_extraction import extract_command, write_movies
from tests.faults.kill_training import SETTINGS as TRAINING


@contextmanager
def nearly_full(folder: Path, free_kib: int) -> Iterator[None]:
    """Within it, so much room is left beside what is there."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        found = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - free_kib * 1024))
    yield
    ballast.unlink()


def stores(folder: Path, free_kib: int) -> None:
    """Parts, shards, tensors and texts: each write fails by name and leaves nothing, or all of it."""
    header = make_movie(samples=400, window_frames=200, feature_shape=(64,))
    windows, features = make_windows(header), FeaturesFolder(folder / "features")
    tensors = {"weight": torch.arange(40_000.0)}
    part = features.part("m1", 0, windows[0].window_id)
    writes = {
        part: lambda: write_part(features, windows[0]),
        features.shard("m1"): lambda: write_shard(features, header, windows.__getitem__),
        folder / "tensors": lambda: write_tensors(folder / "tensors", tensors, {}),
        folder / "text": lambda: write_text_atomically(folder / "text", "x" * 100_000),
    }
    with nearly_full(folder, free_kib):
        for path, write in writes.items():
            try:
                write()
            except OSError as error:
                assert error.errno == errno.ENOSPC and error.filename == str(path), error
                assert not path.exists()
                print(f"{path.name}: full")
            assert not list(folder.rglob("*.tmp"))
    for write in writes.values():
        write()
    assert same_window(read_part(part), windows[0])
    with Shard(features.shard("m1")) as shard:
        assert all(same_window(shard.window(row), windows[row["index"]]) for row in shard.windows())
    assert torch.equal(read_tensors(folder / "tensors")[0]["weight"], tensors["weight"])
    assert len((folder / "text").read_text()) == 100_000


def extracts(folder: Path, free_kib: int) -> None:
    """`rhas extract` says which file had no room, and goes on when there is some."""
    command = extract_command(write_movies(folder / "movies"), folder / "features")
    with nearly_full(folder, free_kib):
        _fails(command)
    _succeeds(command)
    assert problems(folder / "features") == []
    assert not list(folder.rglob("*.tmp")) and not (folder / "features" / "parts").exists()


def trains(folder: Path, free_kib: int) -> None:
    """`rhas train` says which file had no room, and ends with the weights that it would have had."""
    features = toy_features(folder / "features")
    command = [
        sys.executable,
        "-m",
        "rhas.pipeline.cli",
        "train",
        "--shards",
        str(features),
        "--config",
        TINY,
    ]
    command += [argument for setting in TRAINING for argument in ("--set", setting)]
    with nearly_full(folder, free_kib):
        _fails([*command, "--out", str(folder / "run")])
    for name in ("run", "alone"):
        _succeeds([*command, "--out", str(folder / name)])
    one, other = (
        (folder / name / "checkpoints" / "best.safetensors").read_bytes() for name in ("run", "alone")
    )
    assert one == other and not list(folder.rglob("*.tmp"))


def _succeeds(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _fails(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert "No space left on device" in done.stderr and "error: " in done.stderr, done.stderr
    print(done.stderr.strip().splitlines()[-1])


if __name__ == "__main__":
    scenario = {"stores": stores, "extracts": extracts, "trains": trains}[sys.argv[1]]
    scenario(Path(sys.argv[2]), int(sys.argv[3]))
