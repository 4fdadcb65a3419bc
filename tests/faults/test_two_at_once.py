"""Two runs at once in one folder: the second is refused, names the first, and has changed nothing."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie, write_folder
from toy_segmenter import toy_config, toy_features

from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.run import extract
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.programs.importing import import_mstcn_folder
from rhas.train.fitting.training import train

HOLD = """
import sys
from pathlib import Path
from rhas.manifests.common.lock import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def first(out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the folder's lock."""
    command = [sys.executable, "-c", HOLD, str(out / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        yield process
        process.kill()


def refusal(first: subprocess.Popen[bytes]) -> str:
    return re.escape(f"'host {socket.gethostname()}, process {first.pid}': expected no other run")


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> Path:
    path = folder / "manifest.csv"
    path.write_text("movie_id,video,person_id,reference\nm1,none.mp4,p,the man\n")
    return path


def test_extract(tmp_path: Path, out: Path, first: subprocess.Popen[bytes]) -> None:
    before = files(out)
    with pytest.raises(InputError, match=refusal(first)):
        extract(load_inputs(manifest(tmp_path)), out, load_config("tiny-random", []), RunOptions())
    assert files(out) == before


def test_train(tmp_path: Path, out: Path, first: subprocess.Popen[bytes]) -> None:
    before = files(out)
    with pytest.raises(InputError, match=refusal(first)):
        train(toy_features(tmp_path / "features"), out, toy_config(), "cpu")
    assert files(out) == before
    first.kill()
    first.wait()
    assert train(tmp_path / "features", out, toy_config("epochs=2"), "cpu").epoch == 2


def test_import(tmp_path: Path, out: Path, first: subprocess.Popen[bytes]) -> None:
    source = tmp_path / "source"
    for name in ("features", "groundTruth", "splits"):
        (source / name).mkdir(parents=True)
    (source / "mapping.txt").write_text("0 walking\n")
    for name in "vw":
        (source / "groundTruth" / f"{name}.txt").write_text("walking\n" * 3)
        np.save(source / "features" / f"{name}.npy", np.zeros((4, 3), np.float32))
    (source / "splits" / "train.split1.bundle").write_text("v.txt\n")
    (source / "splits" / "test.split1.bundle").write_text("w.txt\n")
    before = files(out)
    with pytest.raises(InputError, match=refusal(first)):
        import_mstcn_folder(source, out, 15.0, 0)
    assert files(out) == before


def test_a_folder_of_features_is_read_while_it_is_written(out: Path, first: subprocess.Popen[bytes]) -> None:
    """Whoever only looks needs no lock."""
    folder = write_folder(out, [make_movie("m1")])
    assert [check.problems for check in verify(folder.root)] == [[]]
