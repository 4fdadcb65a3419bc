"""`verify`: clean on what an extraction writes, and a named problem for everything else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from feature_folders import failures_of, make_movie, make_window, make_windows, write_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import movie_failure, read_failures, write_failures
from rhas.manifests.shards.format import SERIES, Window, failed_window, write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import MovieCheck, read_config, verify
from rhas.manifests.tables.manifest import Person

MOVIES = [make_movie("m1"), make_movie("m2", samples=20)]


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify") / "features"
    write_folder(root, MOVIES, lossy=True)
    return root


@pytest.fixture
def folder(clean_folder: Path, tmp_path: Path) -> FeaturesFolder:
    shutil.copytree(clean_folder, tmp_path / "features")
    return FeaturesFolder(tmp_path / "features")


def problems(folder: FeaturesFolder) -> dict[str, list[str]]:
    """Problems by movie, without the folder's name."""
    root = f"{folder.root}/"
    return {c.movie_id: [p.replace(root, "") for p in c.problems] for c in verify(folder.root)}


def reshard(folder: FeaturesFolder, windows: dict[int, Window], failures: bool = True) -> None:
    """Movie m1 once more, from other windows."""
    write_shard(folder, MOVIES[0], windows.__getitem__)
    if failures:
        write_failures(folder.failures, failures_of(folder, MOVIES))


def with_rows(window: Window, person_id: str, **arrays: Any) -> Window:
    rows = replace(window.persons[person_id], **arrays)
    return replace(window, persons={**window.persons, person_id: rows})


# --- what is right


def test_clean(folder: FeaturesFolder) -> None:
    checks = list(verify(folder.root))
    assert [(c.movie_id, c.problems) for c in checks] == [("m1", []), ("m2", [])]
    for check, movie in zip(checks, MOVIES, strict=True):
        windows = make_windows(movie, lossy=True).values()
        statuses = [rows.status for window in windows for rows in window.persons.values()]
        assert check.tally == Tally.sum(map(Tally.of, statuses))
        promised = sum(int(movie.inside(p).sum()) for p in movie.persons)
        assert check.tally.promised == promised > check.tally.lost > 0
    recorded = [f for c in checks for f in c.failures]
    assert recorded == read_failures(folder.failures) == failures_of(folder, MOVIES)
    assert [f.stage for f in checks[1].failures] == ["decode", "decode", "decode", "interval"]


def test_a_failed_window_is_recorded_and_clean(folder: FeaturesFolder) -> None:
    windows = make_windows(MOVIES[0]) | {2: failed_window(MOVIES[0], 2, "model", "gone")}
    reshard(folder, windows)
    check = next(verify(folder.root))
    assert check.problems == [] and check.tally is not None
    assert check.tally[FrameStatus.FAILED] == check.tally.lost == sum(
        int((rows.status == FrameStatus.FAILED).sum()) for rows in windows[2].persons.values()
    )  # fmt: skip


def test_a_movie_that_could_not_be_opened_is_clean_when_recorded(folder: FeaturesFolder) -> None:
    folder.shard("m1").unlink()
    assert problems(folder)["m1"] == ["m1: no shard and no recorded failure"]
    recorded = [f for f in read_failures(folder.failures) if f.movie_id != "m1"]
    write_failures(folder.failures, [movie_failure("m1", "probe", "not a movie"), *recorded])
    assert next(verify(folder.root)) == MovieCheck(
        "m1", None, [], [movie_failure("m1", "probe", "not a movie")]
    )


def test_a_movie_that_a_rerun_could_not_open_keeps_its_shard(folder: FeaturesFolder) -> None:
    failures = [movie_failure("m1", "probe", "moved away"), *read_failures(folder.failures)]
    write_failures(folder.failures, failures)
    assert problems(folder) == {"m1": [], "m2": []}


# --- what is missing


def test_parts_are_unfinished(folder: FeaturesFolder) -> None:
    folder.shard("m1").unlink()
    for index in (0, 3):
        write_part(folder, make_window(MOVIES[0], index))
    (folder.parts("m1") / ".x.h5").touch()
    assert problems(folder) == {"m1": ["m1: unfinished, 2 windows in parts"], "m2": []}


def test_movies_that_the_manifest_does_not_name(folder: FeaturesFolder) -> None:
    shutil.copy(folder.shard("m1"), folder.shard("m3"))
    write_failures(folder.failures, [*read_failures(folder.failures), movie_failure("m4", "probe", "x")])
    assert problems(folder) == {
        "m1": [], "m2": [],
        "m3": ["shards/m3.h5: the manifest names no such movie"],
        "m4": ["failures.csv: movie m4: the manifest names no such movie"],
    }  # fmt: skip


def test_the_shard_of_another_movie(folder: FeaturesFolder) -> None:
    shutil.copy(folder.shard("m2"), folder.shard("m1"))
    assert problems(folder)["m1"][:2] == [
        "shards/m1.h5: it is the shard of movie 'm2'",
        "shards/m1.h5: persons differ from config.json and manifest.csv",
    ]


def test_a_person_is_missing_or_too_many(folder: FeaturesFolder) -> None:
    with h5py.File(folder.shard("m1"), "r+") as file:
        file.move("persons/p2", "persons/p3")
    found = problems(folder)["m1"]
    assert "shards/m1.h5: person p3: the manifest names no such person" in found
    assert "shards/m1.h5: person p2 is missing" in found
    # p2 is promised in [1.6, 2.8) s: windows 2 and 3 hold their rows
    assert [p[:25] for p in found if "checksum" in p] == ["shards/m1.h5: expected win"[:25]] * 2
    assert [p.split("window ")[1][0] for p in found if "checksum" in p] == ["2", "3"]


def test_a_missing_window(folder: FeaturesFolder) -> None:
    with h5py.File(folder.shard("m1"), "r+") as file:
        for name in list(file["windows"]):
            column = file[f"windows/{name}"][...]
            del file[f"windows/{name}"]
            file["windows"].create_dataset(name, data=np.delete(column, 2), fletcher32=True)
    found = problems(folder)["m1"]
    assert found[:2] == [
        "shards/m1.h5: person p1: 8 frames are in no window",
        "shards/m1.h5: person p2: 8 frames are in no window",
    ]
    assert found[2].startswith("shards/m1.h5: failures.csv records window 2: ") and len(found) == 3


# --- what is changed


def change(name: str, *where: int, to: object) -> Callable[[FeaturesFolder], None]:
    """Rewrites a value through HDF5, so that its own checksum is right again."""

    def apply(folder: FeaturesFolder) -> None:
        with h5py.File(folder.shard("m1"), "r+") as file:
            if name in file:
                file[name][where] = to
            else:
                file.attrs[name] = to

    return apply


CHECKSUM = "window 0 (samples 0 to 8) that can be read (ValueError: the checksum does not match the contents)"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        *[(change(f"persons/p1/{name}", 0, to=3), CHECKSUM) for name in SERIES],
        (change("windows/reason", 0, to=b"another"), CHECKSUM),
        (change("windows/stage", 0, to=b"model"), CHECKSUM),
        (change("windows/done", 0, to=False), CHECKSUM),
        (change("windows/decoder_messages", 0, to=9), CHECKSUM),
        (change("windows/id", 0, to=b"x" * 32), "window 0 (samples 0 to 8) has the id of another window"),
        (change("windows/start", 1, to=4), "window 1 (samples 4 to 16) overlaps an earlier window"),
        (change("windows/start", 1, to=4), "window 1 (samples 4 to 16) has the id of another window"),
        (change("windows/stop", 4, to=41), "window 4 (samples 32 to 41) is not within the movie's 40 samples"),
        (change("windows/start", 0, to=-8), "window 0 (samples -8 to 8) is not within the movie's 40 samples"),
        (change("time_s", 5, to=99.0), "time stamps or source frames are not in order"),
        (change("time_s", 39, to=np.nan), "time stamps or source frames are not in order"),
        (change("source_frame", 5, to=2), "time stamps or source frames are not in order"),
        (change("persons/p1/status", 3, to=17), "person p1: 17 is no known status"),
        (change("persons/p2/status", 3, to=1), "person p2: the status does not cover exactly the promised frames"),
        (change("identity", to=np.bytes_("[]")), "an attribute identity that can be read"),
        (change("identity", to=np.bytes_("{}")), "KeyError: 'video'"),
        (change("config", to=np.bytes_("{}")), "config differ from config.json and manifest.csv"),
        (change("models", to=np.bytes_("no JSON")), "an attribute models that can be read"),
        (change("movie_id", to=np.bytes_("m7")), "it is the shard of movie 'm7'"),
    ],
)  # fmt: skip
def test_changes_that_only_the_accounts_can_notice(
    folder: FeaturesFolder, damage: Callable[[FeaturesFolder], None], problem: str
) -> None:
    damage(folder)
    found = problems(folder)
    assert any(problem in p for p in found["m1"]), found
    assert all("shards/m1.h5" in p for p in found["m1"])
    assert found["m2"] == []


@pytest.mark.parametrize("name", SERIES)
def test_flipped_bytes_are_named_by_window_and_series(folder: FeaturesFolder, name: str) -> None:
    path = folder.shard("m1")
    with h5py.File(path) as file:
        offset = file[f"persons/p1/{name}"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    found = problems(folder)["m1"]
    named = [p for p in found if "(samples 0 to 8) that can be read (OSError" in p]
    assert len(named) == 1
    if name in ("holistic", "partial", "box", "score", "sure"):
        assert any(f"{name} of person p1 that can be read (OSError" in p for p in found)


def test_config_of_another_extraction(folder: FeaturesFolder) -> None:
    record = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps({**record, "extraction": "0" * 32}))
    expected = "extraction differ from config.json and manifest.csv"
    assert problems(folder) == {m: [f"shards/{m}.h5: {expected}"] for m in ("m1", "m2")}


def test_another_manifest(folder: FeaturesFolder) -> None:
    text = folder.manifest.read_text().replace("the man in red", "the man in blue", 1)
    folder.manifest.write_text(text)
    assert problems(folder) == {
        "m1": [
            "shards/m1.h5: persons differ from config.json and manifest.csv",
            "shards/m1.h5: person p1: the reference differs from manifest.csv",
        ],
        "m2": [],
    }


@pytest.mark.parametrize("stream", ["holistic", "partial", "box", "score", "sure"])
@pytest.mark.parametrize("there", [True, False])
def test_status_and_features_disagree(folder: FeaturesFolder, stream: str, there: bool) -> None:
    """Features that a status promises are not there, or some that it does not promise are."""
    windows = make_windows(MOVIES[0])
    rows = windows[1].persons["p1"]
    wanted = FrameStatus.MISSING if there and stream != "holistic" else FrameStatus.DETECTED
    status = rows.status.copy()
    status[0] = FrameStatus.UNDECODABLE if there and stream == "holistic" else wanted
    arrays = {name: getattr(rows, name).copy() for name in ("holistic", "partial", "box", "score", "sure")}
    having = {FrameStatus.MISSING: ("holistic",), FrameStatus.DETECTED: tuple(arrays)}
    for name, array in arrays.items():
        array[0] = 0.5 if name in having.get(FrameStatus(status[0]), ()) else np.nan
    arrays[stream].reshape(8, -1)[0, 0] = 0.5 if there else np.nan  # a single number
    windows[1] = with_rows(windows[1], "p1", status=status, **arrays)
    reshard(folder, windows)
    problem = f"shards/m1.h5: person p1: {stream} is not there exactly where the status says so"
    assert problems(folder)["m1"] == [problem]


def test_losses_that_nothing_records(folder: FeaturesFolder) -> None:
    recorded = read_failures(folder.failures)
    write_failures(folder.failures, recorded[1:])
    lost = f"window 0: {recorded[0].frames} frames lost (decode: {recorded[0].reason})"
    assert problems(folder)["m1"] == [f"shards/m1.h5: {lost}, which failures.csv does not record"]


def test_recorded_losses_that_did_not_happen(folder: FeaturesFolder) -> None:
    reshard(folder, make_windows(MOVIES[0]), failures=False)
    recorded = [f for f in read_failures(folder.failures) if f.movie_id == "m1" and f.frames]
    assert problems(folder)["m1"] == [
        f"shards/m1.h5: failures.csv records window {f.window}: {f.frames} frames lost (decode: {f.reason}), "
        "of which the shard knows nothing"
        for f in recorded
    ] and len(recorded) == 5  # fmt: skip


def test_no_failures_file(folder: FeaturesFolder) -> None:
    folder.failures.unlink()
    found = problems(folder)["m1"]
    assert len(found) == 6 and all("which failures.csv does not record" in p for p in found)
    assert found[-1].startswith("shards/m1.h5: failure (interval: the interval of person late, from")


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"extraction": "x"}', "[" * 100_000])
def test_damaged_config(folder: FeaturesFolder, text: str) -> None:
    folder.config.write_text(text)
    with pytest.raises(InputError, match=r"config\.json: expected the record of an extraction"):
        read_config(folder)
    with pytest.raises(InputError, match=r"config\.json"):
        next(verify(folder.root))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        next(verify(tmp_path / "none"))


def test_splits_may_change(folder: FeaturesFolder) -> None:
    """Features do not depend on them, so a rerun with other splits leaves the shard as it is."""
    movie = replace(MOVIES[0], persons=tuple(replace(p, split="test") for p in MOVIES[0].persons))
    manifest = write_folder(folder.root / "other", [movie]).manifest
    lines = folder.manifest.read_text().splitlines()
    own = manifest.read_text().splitlines()
    shutil.rmtree(folder.root / "other")
    folder.manifest.write_text("\n".join(own + lines[4:]) + "\n")
    assert problems(folder) == {"m1": [], "m2": []}


def test_a_folder_of_one_movie_without_windows(tmp_path: Path) -> None:
    header = make_movie("m1", persons=(Person("m1", "late", "x", 1e6),))
    folder = write_folder(tmp_path, [header])
    (check,) = verify(tmp_path)
    assert check.problems == [] and check.tally == Tally() and check.tally.promised == 0
    assert [f.stage for f in read_failures(folder.failures)] == ["interval"]
