"""An extraction over damaged shards: it computes exactly the damaged windows again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from extractions import assert_same, problems, series
from numbered_movies import regular, write_movie

from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.accounts import EXIT_DONE
from rhas.extract.run.run import extract
from rhas.manifests.tables.inputs import load_inputs

WINDOW, FRAMES = 16, {"a": 60, "b": 30}  # samples at 15/s


def run(folder: Path) -> int:
    """How many frames were computed."""
    config = load_config("tiny-random", [f"decode.window_frames={WINDOW}", "detector.follow_frames=2"])
    summary = extract(load_inputs(folder / "manifest.csv"), folder / "features", config, RunOptions(batch=8))
    assert summary.exit_code == EXIT_DONE
    return summary.report["frames"]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extracted")
    rows = ["movie_id,video,person_id,reference"]
    for name, samples in FRAMES.items():
        write_movie(folder / f"{name}.mp4", regular(2 * samples))
        rows.append(f"{name},{folder}/{name}.mp4,p,the tall person")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    assert run(folder) == sum(FRAMES.values())
    return folder


def other_values(shard: Path) -> None:
    with h5py.File(shard, "r+") as file:
        file["persons/p/partial"][2 * WINDOW + 3] = 1.5


def another_table(shard: Path) -> None:
    with h5py.File(shard, "r+") as file:
        file["windows/digest"][0] = b"0" * 32


def cut_off(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def gone(shard: Path) -> None:
    shard.unlink()


@pytest.mark.parametrize(
    ("damage", "redone"),
    [(other_values, WINDOW), (another_table, WINDOW), (cut_off, FRAMES["a"]), (gone, FRAMES["a"])],
)
def test_damaged_windows_are_computed_again(
    extracted: Path, tmp_path: Path, damage: Callable[[Path], None], redone: int
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(extracted, folder)
    damage(folder / "features" / "shards" / "a.h5")
    assert problems(folder / "features")
    kept = (folder / "features" / "shards" / "b.h5").stat().st_mtime_ns
    # The report is of the last run that computed anything.
    assert run(folder) == redone
    assert problems(folder / "features") == []
    assert (folder / "features" / "shards" / "b.h5").stat().st_mtime_ns == kept
    assert_same(series(extracted / "features"), series(folder / "features"))
