"""Everybody's file: it comes back as it was, takes what windows bring, and stays as small as it has to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import (
    BYTES_A_SECOND,
    KEPT,
    LOST,
    PENDING,
    THINNED,
    People,
    filled,
    read_people,
    room_for_pictures,
    taken_over,
    wanted,
    write_people,
)
from rhas.manifests.shards.pictures import Pictures, part_of, read_pictures, write_pictures

TRACKS, SIGHTS = 6, 5  # of each track, a second apart


def people(made_of: str = "x") -> People:
    """Tracks one after the other; of each the first, third and fifth sight are to have a picture, in this order."""
    rng = np.random.default_rng(0)
    count = TRACKS * SIGHTS
    crop = np.array([SIGHTS * track + sight for sight in (0, 2, 4) for track in range(TRACKS)], np.int32)
    arrays = {
        "sample": np.arange(count, dtype=np.int32) * 2, "time_s": np.arange(count, dtype=float),
        "track": np.repeat(np.arange(TRACKS), SIGHTS).astype(np.int32),
        "box": rng.random((count, 4)).astype(np.float32), "score": rng.random(count).astype(np.float32),
        "cut_s": np.array([10.0]), "crop": crop, "colours": rng.integers(0, 255, (len(crop), 18)).astype(np.uint8),
        "state": np.full(len(crop), PENDING, np.uint8), "end": np.zeros(len(crop), np.int64),
        "bytes": np.zeros(0, np.uint8), "vectors": np.zeros((0, 0, 0), np.int8),
    }  # fmt: skip
    return People("m1", "video", "extraction", made_of, float(count), arrays)


def pictures(own: People, crops: list[int], size: int = 50) -> Pictures:
    rng = np.random.default_rng(crops)
    jpegs = tuple(bytes([crop]) * size for crop in crops)
    vectors = rng.integers(-127, 127, (len(crops), 2, 8)).astype(np.int8)
    return Pictures(own.people_id, np.array(crops, np.int32), jpegs, vectors)


def test_it_comes_back(tmp_path: Path) -> None:
    folder = FeaturesFolder(tmp_path)
    whole = filled(people(), [pictures(people(), list(range(18)))], 1 << 20)
    write_people(folder, whole)
    found = read_people(folder.people("m1"))
    assert found is not None and found.people_id == whole.people_id
    assert all(np.array_equal(found.arrays[name], whole.arrays[name]) for name in whole.arrays)
    assert [found.jpeg(crop) for crop in range(18)] == [bytes([crop]) * 50 for crop in range(18)]


@pytest.mark.parametrize("place", [40, 400, -60])
def test_damage_is_noticed(tmp_path: Path, place: int) -> None:
    folder = FeaturesFolder(tmp_path)
    write_people(folder, filled(people(), [pictures(people(), [0, 5])], 1 << 20))
    data = bytearray(folder.people("m1").read_bytes())
    data[place] ^= 1
    folder.people("m1").write_bytes(data)
    found = read_people(folder.people("m1"))
    assert found is None or found.jpeg(0) == bytes([0]) * 50
    folder.people("m1").write_bytes(data[:-9])
    assert read_people(folder.people("m1")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"track": np.zeros(3, np.int32)}, {"crop": np.full(18, 30, np.int32)}, {"state": np.full(18, KEPT, np.uint8)},
        {"end": np.arange(18)}, {"track": np.repeat([0, 2, 3, 4, 5, 6], 5).astype(np.int32)},
        {"vectors": np.zeros((3, 2, 8), np.int8)}, {"time_s": np.full(30, np.nan)},
        {"box": np.zeros((30, 5), np.float32)},
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_none(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError):
        People.from_bytes(replace(people(), arrays={**people().arrays, **change}).to_bytes())


def test_windows_bring_their_own(tmp_path: Path) -> None:
    folder, own = FeaturesFolder(tmp_path), people()
    asked = wanted(own, 0, 20)  # tracks 0 and 1
    assert asked is not None and wanted(own, 1000, 2000) is None
    assert sorted(asked.crop.tolist()) == [0, 1, 6, 7, 12, 13]
    assert asked.row.tolist() == own.arrays["sample"][own.arrays["crop"][asked.crop]].tolist()
    made = pictures(own, asked.crop.tolist())
    write_pictures(folder, "m1", 3, made)
    path = part_of(folder, "m1", 3, own.people_id)
    found = read_pictures(path)
    assert found is not None and found.jpegs == made.jpegs and np.array_equal(found.vectors, made.vectors)
    path.write_bytes(path.read_bytes()[:-40])
    assert read_pictures(path) is None and not path.exists()


def test_the_most_telling_stay_where_there_is_no_room_for_all() -> None:
    own = people()
    one = 50 + 16  # of a picture
    some = filled(own, [pictures(own, list(range(9)))], 1 << 20)
    full = filled(some, [pictures(own, list(range(9, 18)))], 8 * one + 10)
    assert full.arrays["state"].tolist() == [KEPT] * 8 + [THINNED] * 10
    assert len(full.arrays["bytes"]) == 8 * 50 and full.arrays["vectors"].shape == (8, 2, 8)
    assert np.array_equal(full.arrays["vectors"], some.arrays["vectors"][:8])
    # Everybody still has one, and what the movie gave no frame for takes no room.
    assert set(full.crops_of_tracks()[full.arrays["state"] == KEPT].tolist()) == set(range(TRACKS))
    gone = Pictures(own.people_id, np.array([2], np.int32), (b"",), np.zeros((1, 2, 8), np.int8))
    assert filled(own, [gone], 1 << 20).arrays["state"].tolist()[:4] == [PENDING, PENDING, LOST, PENDING]


def test_a_file_is_never_larger_than_its_film_allows(tmp_path: Path) -> None:
    """Four pictures a second of 4 kB and 8 kB of vectors each would be five times as much."""
    folder, own = FeaturesFolder(tmp_path), people()
    many = 120
    arrays = {**own.arrays, "crop": np.arange(many, dtype=np.int32) % 30}
    arrays |= {"colours": np.zeros((many, 18), np.uint8), "state": np.full(many, PENDING, np.uint8)}
    own = replace(own, arrays={**arrays, "end": np.zeros(many, np.int64)})
    rng = np.random.default_rng(0)
    jpegs = tuple(rng.bytes(4096) for _ in range(many))
    vectors = rng.integers(-127, 127, (many, 32, 256)).astype(np.int8)
    made = Pictures(own.people_id, np.arange(many, dtype=np.int32), jpegs, vectors)
    write_people(folder, filled(own, [made], room_for_pictures(own, {})))
    size = folder.people("m1").stat().st_size
    assert 0.8 * BYTES_A_SECOND * own.duration_s < size <= BYTES_A_SECOND * own.duration_s


def test_the_same_sights_keep_their_pictures_when_tracks_are_made_again() -> None:
    old = filled(people(), [pictures(people(), [0, 4, 7])], 1 << 20)
    again = people("y")
    box = again.arrays["box"].copy()
    box[again.arrays["crop"][4]] += 0.01  # this one is another sight now
    again = taken_over(replace(again, arrays={**again.arrays, "box": box}), old)
    assert np.flatnonzero(again.arrays["state"] == KEPT).tolist() == [0, 7]
    assert again.jpeg(7) == old.jpeg(7)
    assert np.array_equal(again.arrays["vectors"], old.arrays["vectors"][[0, 2]])
    other = taken_over(replace(people("y"), extraction="another"), old)
    assert (other.arrays["state"] == PENDING).all()
