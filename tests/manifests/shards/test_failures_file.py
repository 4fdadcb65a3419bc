"""`failures.csv`: derived from shards, and read back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie, make_windows
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import (
    COLUMNS,
    Failure,
    movie_failure,
    read_failures,
    shard_failures,
    write_failures,
)
from rhas.manifests.shards.format import failed_window, one_line, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.status import LOST
from rhas.manifests.tables.manifest import Person

HEADER = ",".join(COLUMNS) + "\n"


def test_of_a_shard(tmp_path: Path) -> None:
    header = make_movie(samples=20, window_frames=8)
    windows = make_windows(header) | {1: failed_window(header, 1, "model", "out of\nmemory")}
    folder = FeaturesFolder(tmp_path)
    write_shard(folder, header, windows.__getitem__)
    late = next(person for person in header.persons if person.person_id == "late")
    with Shard(folder.shard("m1")) as shard:
        interval = f"{late.start_s:g} to {late.end_s:g} s"
        outside = (
            f"the interval of person late, from {interval}, holds no frame; the movie has 20 from 0 to 1.9 s"
        )
        assert shard_failures(shard) == [
            Failure("m1", 1, 0.8, 1.5, "model", "out of memory", 8 + 6),  # p1 in all of it, p2 in 6
            Failure("m1", "", "", "", "interval", outside, 0),
        ]


def test_counts_lost_frames_of_all_persons(tmp_path: Path) -> None:
    header = make_movie(samples=30, persons=(Person("m1", "p", "x"), Person("m1", "q", "y", 1.0)))
    windows = make_windows(header, lossy=True)
    folder = FeaturesFolder(tmp_path)
    write_shard(folder, header, windows.__getitem__)
    with Shard(folder.shard("m1")) as shard:
        found = shard_failures(shard)
    lost = {
        i: sum(int(np.isin(r.status, LOST).sum()) for r in w.persons.values()) for i, w in windows.items()
    }
    assert {f.window: f.frames for f in found} == {index: count for index, count in lost.items() if count}
    assert [(f.start_s, f.end_s) for f in found] == [(0.0, 0.7), (0.8, 1.5), (1.6, 2.3), (2.4, 2.9)]


def test_whole_movies() -> None:
    failure = movie_failure("m1", "probe", "no\r\nmovie\udcff")
    assert failure == Failure("m1", "", "", "", "probe", "no movie", 0) and failure.whole_movie
    assert not Failure("m1", "", "", "", "interval", "x", 0).whole_movie
    assert not Failure("m1", 0, 0.0, 1.0, "probe", "x", 1).whole_movie


def test_no_failures(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    write_failures(path, [])
    assert path.read_text() == HEADER == "movie_id,window,start_s,end_s,stage,reason,frames\n"
    assert read_failures(path) == []


ids = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,10}", fullmatch=True).filter(lambda text: not text.endswith("."))
failures = st.builds(
    Failure,
    movie_id=ids,
    window=st.just("") | st.integers(0, 10**6),
    start_s=st.just("") | st.floats(allow_nan=False, allow_infinity=False),
    end_s=st.just("") | st.floats(allow_nan=False, allow_infinity=False),
    stage=st.sampled_from(["probe", "decode", "model", "interval"]),
    reason=st.text(st.characters()).map(one_line),
    frames=st.integers(0, 10**9),
)


@settings(deadline=None)
@given(st.lists(failures, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, some: list[Failure]) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip_failures.csv"
    write_failures(path, some)
    assert read_failures(path) == some


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("m1,x,0,1,decode,r,1", "window"),
        ("m1,-1,0,1,decode,r,1", "window"),
        ("m1,1_0,0,1,decode,r,1", "window"),
        ("m1,٣,0,1,decode,r,1", "window"),
        ("m1,1,nan,1,decode,r,1", "start_s"),
        ("m1,1,0,soon,decode,r,1", "end_s"),
        ("m1,1,0,1,decode,r,", "frames"),
        ("m1,1,0,1,decode,r,1.0", "frames"),
        (" m1,1,0,1,decode,r,1", "movie_id"),
    ],
)
def test_names_row_and_column(tmp_path: Path, row: str, column: str) -> None:
    path = tmp_path / "failures.csv"
    path.write_text(HEADER + "m1,,,,probe,r,0\n" + row + "\n")
    with pytest.raises(InputError) as caught:
        read_failures(path)
    assert [(p.file, p.row, p.column) for p in caught.value.problems] == [(path, 3, column)]


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    path.write_text(HEADER + "m1,x,0,1,decode,r,y\nm1,x\n")
    with pytest.raises(InputError) as caught:
        read_failures(path)
    assert [(p.row, p.column) for p in caught.value.problems] == [(2, "window"), (2, "frames"), (3, None)]


@pytest.mark.parametrize("text", ["", "movie_id,window\n", HEADER + "\n\n"])
def test_other_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "failures.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"failures\.csv"):
        read_failures(path)
    with pytest.raises(InputError, match=r"none\.csv.*a readable file"):
        read_failures(tmp_path / "none.csv")
