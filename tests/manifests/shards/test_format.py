"""Shards and parts: what goes in comes out, on disk as documented, completely or not at all."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from feature_folders import (
    expected_series,
    make_movie,
    make_window,
    make_windows,
    same_rows,
    same_window,
    write_parts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.shards.format import (
    SERIES,
    WINDOW_COLUMNS,
    MovieHeader,
    PersonRows,
    Window,
    check_window,
    empty_rows,
    failed_window,
    write_part,
    write_shard,
)
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader, Shard, read_part
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return FeaturesFolder(tmp_path / "features")


def files(folder: FeaturesFolder) -> list[str]:
    return sorted(str(p.relative_to(folder.root)) for p in folder.root.rglob("*") if p.is_file())


# --- parts


@pytest.mark.parametrize("feature_shape", [(6,), (32, 3)])
def test_a_part_holds_its_window(folder: FeaturesFolder, feature_shape: tuple[int, ...]) -> None:
    header = make_movie(feature_shape=feature_shape)
    for window in make_windows(header, seed=3, lossy=True).values():
        write_part(folder, window)
        path = folder.part("m1", window.index, window.window_id)
        assert path.name == f"{window.index:06d}-{window.window_id}.h5"
        assert same_window(read_part(path), window)


def test_writing_twice_leaves_one(folder: FeaturesFolder) -> None:
    header = make_movie()
    write_part(folder, make_window(header, 1, seed=1))
    write_part(folder, make_window(header, 1, seed=2))
    path = folder.part("m1", 1, header.window_id(1))
    assert files(folder) == [str(path.relative_to(folder.root))]
    assert same_window(read_part(path), make_window(header, 1, seed=2))


def test_a_failing_disk_leaves_no_part_and_keeps_the_old(
    folder: FeaturesFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = make_movie()
    write_part(folder, make_window(header, 0))
    before = files(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    for replaced in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            if replaced == "fsync":
                patch.setattr(os, "fsync", full)
            else:
                patch.setattr(Path, "replace", lambda self, target: full(0))
            for index in (0, 1):
                with pytest.raises(OSError, match="No space left"):
                    write_part(folder, make_window(header, index, seed=9))
    assert files(folder) == before
    assert same_window(read_part(folder.part("m1", 0, header.window_id(0))), make_window(header, 0))


def test_a_failing_dataset_leaves_no_part(folder: FeaturesFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    create = h5py.Group.create_dataset

    def fail_at_status(self: h5py.Group, name: str, *args: object, **kwargs: object) -> h5py.Dataset:
        if name == "status":
            raise RuntimeError("disk full")
        return create(self, name, *args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", fail_at_status)
    with pytest.raises(RuntimeError, match="disk full"):
        write_part(folder, make_window(make_movie(), 0))
    assert files(folder) == []


# --- shards


def test_windows_of_other_movies_or_forms_are_refused(folder: FeaturesFolder) -> None:
    header = make_movie(samples=16, window_frames=8)
    window = make_window(header, 0)
    check_window(header, window)
    rows = window.persons["p1"]
    wrong = [
        replace(window, window_id=make_movie(video_id="w").window_id(0)),
        replace(window, stop=7),
        replace(window, persons={}),
        replace(window, persons={**window.persons, "late": rows}),
        replace(window, persons={"p1": replace(rows, holistic=rows.holistic.astype(np.float32))}),
        replace(window, persons={"p1": replace(rows, box=rows.box[:7])}),
    ]
    for other in wrong:
        with pytest.raises(ValueError, match="window 0 of movie m1"):
            write_shard(folder, header, lambda index, other=other: other)
    assert files(folder) == []


def test_a_failing_load_leaves_the_old_shard(folder: FeaturesFolder) -> None:
    header = make_movie()
    write_shard(folder, header, make_windows(header).__getitem__)
    old = folder.shard("m1").read_bytes()
    windows = make_windows(header, seed=5)
    del windows[3]
    with pytest.raises(KeyError):
        write_shard(folder, header, windows.__getitem__)
    assert files(folder) == ["shards/m1.h5"] and folder.shard("m1").read_bytes() == old


def test_features_that_are_not_there_take_no_room(folder: FeaturesFolder) -> None:
    header = make_movie(samples=4000, window_frames=256, feature_shape=(768,))
    whole = make_windows(header)
    blank = {
        index: replace(
            window,
            persons={
                person_id: replace(rows, partial=np.full_like(rows.partial, np.nan))
                for person_id, rows in window.persons.items()
            },
        )
        for index, window in whole.items()
    }
    sizes = []
    for windows in (whole, blank):
        write_shard(folder, header, windows.__getitem__)
        sizes.append(folder.shard("m1").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]
    with Shard(folder.shard("m1")) as shard:
        assert all(same_window(shard.window(row), blank[row["index"]]) for row in shard.windows())


def test_load_is_asked_for_planned_windows_in_turn(folder: FeaturesFolder) -> None:
    header = make_movie(samples=40, persons=(Person("m1", "p", "x", 1.0, 2.4), Person("m1", "q", "y", 3.9)))
    asked: list[int] = []

    def load(index: int) -> Window:
        asked.append(index)
        return make_window(header, index)

    write_shard(folder, header, load)
    assert asked == [1, 2, 4]


def test_what_a_shard_says(folder: FeaturesFolder) -> None:
    header = make_movie(samples=20)
    windows = make_windows(header) | {2: failed_window(header, 2, "model", "a\nb")}
    write_shard(folder, header, windows.__getitem__)
    with Shard(folder.shard("m1")) as shard:
        assert (shard.movie_id, shard.fps, shard.person_ids) == ("m1", 10.0, ["late", "p1", "p2"])
        for name in ("identity", "config", "models", "versions", "source"):
            assert shard.json(name) == getattr(header, name)
        table = shard.windows()
        assert table == [windows[index].row() for index in (0, 1, 2)]
        assert [row["done"] for row in table] == [True, True, False]
        assert (table[2]["stage"], table[2]["reason"]) == ("model", "a b")
        assert all(same_window(shard.window(row), windows[row["index"]]) for row in table)
    with h5py.File(folder.shard("m1")) as file:
        assert (file.attrs["format"], file.attrs["format_version"]) == (b"rhas-features", 4)
        assert file.attrs["video"] == b"/movies/m1.mp4"
        assert dict(file["persons/p2"].attrs) == {
            "reference": "the wömán".encode(), "start_s": 0.8, "end_s": 1.4, "split": b"val"
        }  # fmt: skip
        assert dict(file["persons/p1"].attrs) == {
            "reference": b"the man in red", "start_s": 0.0, "split": b"train"
        }  # fmt: skip
        assert set(file["windows"]) == set(WINDOW_COLUMNS)


def test_native_frame_rate_is_none(folder: FeaturesFolder) -> None:
    header = make_movie(fps=None)
    write_shard(folder, header, make_windows(header).__getitem__)
    with Shard(folder.shard("m1")) as shard:
        assert shard.fps is None


@pytest.mark.parametrize(
    ("samples", "feature_shape", "rows"),
    [(600, (6,), 256), (40, (6,), 40), (600, (768,), 256), (100, (32, 768), 21), (3, (2**20,), 1)],
)
def test_chunks_and_checksums(
    folder: FeaturesFolder, samples: int, feature_shape: tuple[int, ...], rows: int
) -> None:
    header = make_movie(samples=samples, window_frames=8, feature_shape=feature_shape, persons=())
    header = replace(header, persons=(Person("m1", "late", "x", 1e6),))
    write_shard(folder, header, make_windows(header).__getitem__)
    small = min(256, samples)
    with h5py.File(folder.shard("m1")) as file:
        own = file["persons/late"]
        assert {name: own[name].chunks for name in SERIES} == {
            "holistic": (rows, *feature_shape),
            "partial": (rows, *feature_shape),
            "box": (small, 4),
            "score": (small,),
            "sure": (small,),
            "candidates": (small,),
            "status": (small,),
            "track": (small,),
        }
        everything = [own[name] for name in SERIES] + [file["time_s"], file["source_frame"]]
        everything += list(file["windows"].values())
        assert all(d.fletcher32 and d.compression is None for d in everything)


def test_unwritten_chunks_take_no_room(folder: FeaturesFolder) -> None:
    persons = (Person("m1", "first", "x", 0.0, 25.6), Person("m1", "late", "y", 1e6))
    header = make_movie(samples=1024, window_frames=64, feature_shape=(768,), persons=persons)
    write_shard(folder, header, make_windows(header).__getitem__)
    with h5py.File(folder.shard("m1")) as file:
        stored = {p: file[f"persons/{p}/holistic"].id.get_num_chunks() for p in ("first", "late")}
        assert stored == {"first": 1, "late": 0}
        assert np.isnan(file["persons/late/holistic"][500]).all() and file["persons/late/status"][500] == 0
    chunk = 256 * 768 * 2
    assert 2 * chunk < folder.shard("m1").stat().st_size < 2 * chunk + 100_000


def test_nothing_is_kept_where_hdf5_has_no_checksums(folder: FeaturesFolder) -> None:
    """Texts of varying length would lie in its global heap: flips there go unnoticed, or make HDF5 loop."""
    header = make_movie()
    windows = make_windows(header, lossy=True)
    write_parts(folder, windows)
    write_shard(folder, header, windows.__getitem__)
    for path in folder.root.rglob("*.h5"):
        data = path.read_bytes()
        assert b"GCOL" not in data and data[8] >= 2  # superblock versions 0 and 1 have no checksum


def test_a_movie_without_samples(folder: FeaturesFolder) -> None:
    header = make_movie(samples=0)
    write_shard(folder, header, make_windows(header).__getitem__)
    with Shard(folder.shard("m1")) as shard:
        assert shard.windows() == [] and len(shard.person("p1")) == 0


def test_identity_larger_than_an_object_header(folder: FeaturesFolder) -> None:
    header = make_movie(persons=tuple(Person("m1", f"p{i}", "ö" * 2000) for i in range(40)))
    write_shard(folder, header, make_windows(header).__getitem__)
    with Shard(folder.shard("m1")) as shard:
        assert shard.json("identity") == header.identity and shard.person("p39").reference == "ö" * 2000


@st.composite
def movies(draw: st.DrawFn) -> MovieHeader:
    samples = draw(st.integers(1, 60))
    header = make_movie(
        samples=samples,
        window_frames=draw(st.integers(1, 70)),
        feature_shape=draw(st.sampled_from([(1,), (5,), (32, 2)])),
        persons=(),
    )
    persons = []
    for number in range(draw(st.integers(1, 4))):
        start_s = draw(st.floats(0, 8))
        end_s = draw(st.just(np.inf) | st.floats(start_s, 9, exclude_min=True))
        persons.append(Person("m1", f"p{number}", "x", start_s, end_s))
    return replace(header, persons=tuple(persons), identity={"movie": samples})


@settings(deadline=None, max_examples=40)
@given(header=movies(), seed=st.integers(0, 99), lossy=st.booleans())
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, header: MovieHeader, seed: int, lossy: bool
) -> None:
    """What the windows held is what the reader gives; rows outside the interval are OUTSIDE and NaN."""
    folder = FeaturesFolder(tmp_path_factory.getbasetemp() / "round_trip")
    folder.root.mkdir(exist_ok=True)
    folder.config.write_text("{}")
    windows = make_windows(header, seed, lossy)
    write_shard(folder, header, windows.__getitem__)
    for person in header.persons:
        series = FeaturesReader(folder.root).person("m1", person.person_id)
        whole = PersonRows(**{name: getattr(series, name)[...] for name in SERIES})
        assert same_rows(whole, expected_series(header, windows, person))
        assert series.time_s.tolist() == header.time_s.tolist()
        assert series.source_frame.tolist() == header.source_frame.tolist()
        outside = ~header.inside(person)
        assert ((series.status == FrameStatus.OUTSIDE) == outside).all()
        nothing = empty_rows(np.zeros(outside.sum(), bool), header.feature_shape, FrameStatus.FAILED)
        assert same_rows(PersonRows(**{name: getattr(whole, name)[outside] for name in SERIES}), nothing)
        tally = Tally.of(series.status)
        assert tally.promised == tally.written + tally.missing + tally.lost == header.inside(person).sum()
