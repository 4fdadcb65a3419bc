"""What is stored between two passes: it comes back as it was, and anything else is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie

from rhas.manifests.shards.boxes import no_boxes
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.packed import pack, unpack
from rhas.manifests.shards.resume import SeenWindows
from rhas.manifests.shards.seen import Seen, part_of, read_seen, seen_id, write_seen
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks, of_movie, read_tracks, write_tracks

HEADER = make_movie(samples=20)


def seen(index: int, reason: str = "") -> Seen:
    start, stop = HEADER.bound(index)
    rng = np.random.default_rng(index)
    arrays = {
        "change": rng.random(stop - start).astype(np.float32), "decoded": np.ones(stop - start, bool),
        "ends": rng.integers(0, 256, (2, 12, 20, 3)).astype(np.uint8), "sample": np.arange(start, stop, 2),
        "at": np.array([0, 0, 1], np.int32), "whom": np.array([0, 1, 0], np.int32),
        "box": np.sort(rng.random((3, 4))).astype(np.float32), "score": rng.random(3).astype(np.float32),
        "who": np.array([0, 0, 1], np.int32), "look": rng.integers(0, 256, (2, 12, 6, 3)).astype(np.uint8),
    }  # fmt: skip
    stage = "decode" if reason else ""
    return Seen(HEADER.movie_id, index, start, stop, seen_id(HEADER, index), stage, reason, arrays)


def tracks() -> MovieTracks:
    boxes = {}
    for person in HEADER.persons:
        own = no_boxes(HEADER.inside(person), FrameStatus.MISSING)
        own.box[3], own.score[3], own.sure[3], own.status[3], own.track[3] = (
            0.5,
            0.5,
            0.5,
            FrameStatus.TRACKED,
            7,
        )
        own.status[~HEADER.inside(person)] = FrameStatus.OUTSIDE
        boxes[person.person_id] = own
    windows = {index: seen(index) for index in HEADER.planned()}
    return MovieTracks(HEADER.identity, HEADER.window_frames, boxes, np.array([9]), windows)


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return FeaturesFolder(tmp_path)


def same(one: Seen, other: Seen) -> bool:
    return one.said() == other.said() and all(
        np.array_equal(one.arrays[name], other.arrays[name])
        for name in one.arrays.keys() | other.arrays.keys()
    )


def test_windows_come_back(folder: FeaturesFolder) -> None:
    write_seen(folder, seen(1))
    found = read_seen(part_of(folder, HEADER, 1))
    assert found is not None and same(found, seen(1))
    assert read_seen(part_of(folder, HEADER, 0)) is None


def test_tracks_come_back_and_tell_windows_apart(folder: FeaturesFolder) -> None:
    made = tracks()
    write_tracks(folder, "m1", made)
    found = of_movie(read_tracks(folder.tracks("m1")), HEADER)
    assert found is not None and found.digests() == made.digests() and found.cuts.tolist() == [9]
    assert all(same(found.seen[index], made.seen[index]) for index in made.seen)
    made.boxes["p1"].box[3] = 0.25  # a single box: the ids of its window change, and no other's
    changed = {index for index, digest in made.digests().items() if digest != found.digests()[index]}
    assert changed == {3 // HEADER.window_frames}


@pytest.mark.parametrize("place", [30, 200, -40])
def test_damage_is_noticed_and_removed(folder: FeaturesFolder, place: int) -> None:
    write_seen(folder, seen(0))
    path = part_of(folder, HEADER, 0)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    found = read_seen(path)
    assert (found is None and not path.exists()) or (found is not None and same(found, seen(0)))
    path.write_bytes(path.read_bytes()[:-100] if path.exists() else b"half")
    assert read_seen(path) is None and not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"who": np.array([0, 0, 2], np.int32)}, {"at": np.array([0, 0, 99], np.int32)},
        {"sample": np.array([0, 2, 77])}, {"score": np.array([0.5, np.nan, 0.5], np.float32)},
        {"box": np.zeros((3, 5), np.float32)}, {"score": np.zeros(3)}, {"change": np.zeros(3, np.float32)},
    ],
)  # fmt: skip
def test_windows_that_contradict_themselves_are_none(change: dict[str, np.ndarray]) -> None:
    whole = seen(0)
    with pytest.raises(ValueError):
        Seen.of(whole.said(), {**whole.arrays, **change})


def test_tracks_of_something_else_are_none_of_this_movies() -> None:
    made = tracks()
    assert of_movie(made, HEADER) is made
    assert of_movie(replace(made, identity={**made.identity, "video": "another"}), HEADER) is None
    assert of_movie(replace(made, window_frames=7), HEADER) is None
    less = {index: own for index, own in made.seen.items() if index}
    assert of_movie(replace(made, seen=less), HEADER) is None
    assert of_movie(replace(made, seen=less, failed={0: ("model", "lost")}), HEADER) is not None
    assert of_movie(None, HEADER) is None


def test_what_is_left_to_see(folder: FeaturesFolder) -> None:
    planned = set(HEADER.planned())
    assert SeenWindows(folder, HEADER).indices() == set() and SeenWindows(folder, HEADER).whole() is None
    write_seen(folder, seen(1))
    assert SeenWindows(folder, HEADER).indices() == {1}
    write_tracks(folder, "m1", tracks())
    # A part that is still there may be newer than the tracks: they are to be made again, of what is seen already.
    assert SeenWindows(folder, HEADER).indices() == planned and SeenWindows(folder, HEADER).whole() is None
    part_of(folder, HEADER, 1).unlink()
    assert SeenWindows(folder, HEADER).whole() is not None
    failed = replace(
        tracks(), seen={0: seen(0, "damaged")}, failed=dict.fromkeys(planned - {0}, ("model", "x"))
    )
    write_tracks(folder, "m1", failed)
    assert SeenWindows(folder, HEADER).indices() == {0}
    assert SeenWindows(folder, HEADER, retry_failed=True).indices() == set()


def test_packed_files_are_what_they_say() -> None:
    data = pack("a kind", 1, {"x": [1]}, {"a": np.arange(3)})
    said, arrays = unpack("a kind", 1, data)
    assert said == {"x": [1]} and arrays["a"].tolist() == [0, 1, 2]
    for kind, version, other in (
        ("a kind", 2, data),
        ("another", 1, data),
        ("a kind", 1, b""),
        ("a kind", 1, data[:-9]),
    ):
        with pytest.raises(ValueError):
            unpack(kind, version, other)
