"""`verify` on shards with random damage: it always comes to an end, and what it misses doesn't matter."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from feature_folders import make_movie, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.verify import verify


@pytest.fixture(scope="module")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage") / "features"
    write_folder(root, [make_movie("m1"), make_movie("m2", samples=20)], lossy=True)
    return root


def check_terminates(folder: FeaturesFolder) -> bool:
    """Whether anything was noticed; raises when `verify` does."""
    first, second = verify(folder.root)
    assert (first.movie_id, second.movie_id, second.problems) == ("m1", "m2", [])
    assert all(isinstance(problem, str) and "m1" in problem for problem in first.problems)
    assert first.problems or first.tally is not None
    return bool(first.problems)


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset, by name."""
    found: dict[str, bytes] = {}

    def look(group: h5py.Group) -> None:
        for item in group.values():
            if isinstance(item, h5py.Group):
                look(item)
            else:
                found[item.name] = item[...].tobytes()

    with h5py.File(path) as file:
        look(file)
    return found


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_flipped_bytes_anywhere(clean_folder: Path, data: st.DataObject) -> None:
    folder = FeaturesFolder(clean_folder)
    path = folder.shard("m1")
    good, contents_of_good = path.read_bytes(), contents(path)
    flips = data.draw(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(1, 255)), min_size=1, max_size=3)
    )
    bad = bytearray(good)
    for at, bits in flips:
        bad[at] ^= bits
    try:
        path.write_bytes(bad)
        if not check_terminates(folder):
            assert contents(path) == contents_of_good  # what goes unnoticed must not matter
    finally:
        path.write_bytes(good)


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_anywhere(clean_folder: Path, share: float) -> None:
    folder = FeaturesFolder(clean_folder)
    path = folder.shard("m1")
    good = path.read_bytes()
    try:
        path.write_bytes(good[: int(share * len(good))])
        assert check_terminates(folder)
    finally:
        path.write_bytes(good)
