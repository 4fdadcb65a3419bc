"""What a rerun takes over: windows with the same id that can be read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from feature_folders import make_movie, make_window, make_windows, same_window, write_parts

from rhas.manifests.shards.format import failed_window, write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.tables.manifest import Person

MOVIE = make_movie(samples=40, window_frames=8)  # windows 0 to 4


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return FeaturesFolder(tmp_path / "features")


def part(folder: FeaturesFolder, index: int) -> Path:
    return folder.part("m1", index, MOVIE.window_id(index))


def test_nothing_yet(folder: FeaturesFolder) -> None:
    finished = FinishedWindows(folder, MOVIE)
    assert finished.indices() == set()
    with pytest.raises(KeyError):
        finished.load(0)
    finished.remove_parts()
    assert not folder.root.exists()


def test_parts(folder: FeaturesFolder) -> None:
    windows = {index: make_window(MOVIE, index, lossy=True) for index in (0, 3)}
    write_parts(folder, windows)
    finished = FinishedWindows(folder, MOVIE)
    assert finished.indices() == {0, 3}
    assert all(same_window(finished.load(index), window) for index, window in windows.items())
    with pytest.raises(KeyError):
        finished.load(1)


def test_windows_of_the_shard(folder: FeaturesFolder) -> None:
    windows = make_windows(MOVIE, lossy=True)
    write_shard(folder, MOVIE, windows.__getitem__)
    finished = FinishedWindows(folder, MOVIE)
    assert finished.indices() == {0, 1, 2, 3, 4}
    assert all(same_window(finished.load(index), window) for index, window in windows.items())
    old = folder.shard("m1").read_bytes()
    write_shard(folder, MOVIE, finished.load)  # from the very file that it replaces
    again = FinishedWindows(folder, MOVIE)
    assert all(same_window(again.load(index), window) for index, window in windows.items())
    assert len(folder.shard("m1").read_bytes()) == len(old)


def test_parts_go_before_the_shard(folder: FeaturesFolder) -> None:
    write_shard(folder, MOVIE, make_windows(MOVIE, seed=1).__getitem__)
    write_part(folder, make_window(MOVIE, 2, seed=2))
    finished = FinishedWindows(folder, MOVIE)
    assert finished.indices() == {0, 1, 2, 3, 4}
    assert same_window(finished.load(2), make_window(MOVIE, 2, seed=2))
    assert same_window(finished.load(3), make_window(MOVIE, 3, seed=1))


@pytest.mark.parametrize(
    "other",
    [
        make_movie(video_id="another movie"),
        make_movie(persons=(*MOVIE.persons[:2], Person("m1", "late", "another sentence", 45.0, 49.0))),
        make_movie(persons=(*MOVIE.persons[:2], Person("m1", "late", "the child", 45.0, 48.0))),
        make_movie(persons=MOVIE.persons[:2]),
    ],
)
def test_other_settings_do_not_count(folder: FeaturesFolder, other) -> None:
    write_shard(folder, MOVIE, make_windows(MOVIE).__getitem__)
    write_parts(folder, make_windows(MOVIE))
    assert FinishedWindows(folder, other).indices() == set()
    assert FinishedWindows(folder, MOVIE).indices() == {0, 1, 2, 3, 4}  # and are left where they are


def test_other_window_lengths_keep_what_is_the_same(folder: FeaturesFolder) -> None:
    """The id names samples, not the index: only a movie of one window has windows in common."""
    write_shard(folder, MOVIE, make_windows(MOVIE).__getitem__)
    assert FinishedWindows(folder, make_movie(window_frames=16)).indices() == set()
    assert FinishedWindows(folder, make_movie(samples=36, persons=MOVIE.persons)).indices() == {0, 1, 2, 3}


def test_failed_windows_do_not_count(folder: FeaturesFolder) -> None:
    windows = make_windows(MOVIE) | {1: failed_window(MOVIE, 1, "model", "gone")}
    write_shard(folder, MOVIE, windows.__getitem__)
    write_part(folder, failed_window(MOVIE, 2, "model", "gone"))
    finished = FinishedWindows(folder, MOVIE)
    assert finished.indices() == {0, 2, 3, 4}
    assert same_window(finished.load(2), windows[2])  # of the shard


def test_retry_failed(folder: FeaturesFolder) -> None:
    lossy = {index: make_window(MOVIE, index, lossy=True) for index in (0, 1)}
    assert all(window.reason for window in lossy.values())
    write_shard(folder, MOVIE, (make_windows(MOVIE) | {0: lossy[0]}).__getitem__)
    assert FinishedWindows(folder, MOVIE).indices() == {0, 1, 2, 3, 4}
    assert FinishedWindows(folder, MOVIE, retry_failed=True).indices() == {1, 2, 3, 4}
    folder.shard("m1").unlink()
    write_parts(folder, {1: lossy[1], 2: make_window(MOVIE, 2)})
    assert FinishedWindows(folder, MOVIE, retry_failed=True).indices() == {2}
    assert FinishedWindows(folder, MOVIE).indices() == {1, 2}  # it was kept, for want of a better one


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    with h5py.File(path) as file:
        offset = file["persons/p1/holistic"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def rewritten(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["persons/p1/candidates"][0] += 1


def without_status(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["persons/p1/status"]


def of_other_settings(path: Path) -> None:
    folder = FeaturesFolder(path.parents[2])
    header = make_movie(video_id="w")
    write_part(folder, make_window(header, 1))
    folder.part("m1", 1, header.window_id(1)).replace(path)


@pytest.mark.parametrize("damage", [empty, half, flipped, rewritten, without_status, of_other_settings])
def test_damaged_parts_are_removed(folder: FeaturesFolder, damage: Callable[[Path], None]) -> None:
    write_parts(folder, {0: make_window(MOVIE, 0), 1: make_window(MOVIE, 1)})
    damage(part(folder, 1))
    assert FinishedWindows(folder, MOVIE).indices() == {0}
    assert list(folder.parts("m1").iterdir()) == [part(folder, 0)]


def test_damaged_windows_of_the_shard_do_not_count(folder: FeaturesFolder) -> None:
    """Else sealing would fail on them, in every rerun again."""
    write_shard(folder, MOVIE, make_windows(MOVIE).__getitem__)
    with h5py.File(folder.shard("m1"), "r+") as file:
        file["persons/p1/candidates"][9] += 1
    assert FinishedWindows(folder, MOVIE).indices() == {0, 2, 3, 4}
    flipped(folder.shard("m1"))  # all 40 rows are in one chunk
    assert FinishedWindows(folder, MOVIE).indices() == set()


@pytest.mark.parametrize("damage", [empty, half])
def test_a_damaged_shard_gives_nothing(folder: FeaturesFolder, damage: Callable[[Path], None]) -> None:
    write_shard(folder, MOVIE, make_windows(MOVIE).__getitem__)
    damage(folder.shard("m1"))
    assert FinishedWindows(folder, MOVIE).indices() == set()
    assert folder.shard("m1").exists()


def test_remove_parts(folder: FeaturesFolder) -> None:
    write_parts(folder, make_windows(MOVIE))
    write_part(folder, make_window(make_movie(video_id="w"), 0))
    write_part(folder, make_window(make_movie("m2"), 0))
    (folder.parts("m1") / ".leftover.tmp").touch()
    FinishedWindows(folder, MOVIE).remove_parts()
    assert [p.name for p in (folder.root / "parts").iterdir()] == ["m2"]
    FinishedWindows(folder, make_movie("m2")).remove_parts()
    assert list(folder.root.iterdir()) == []
