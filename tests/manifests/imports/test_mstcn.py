"""50Salads, Breakfast and GTEA's layout to a features folder: proven on made data sets in that layout."""

from __future__ import annotations

import tarfile
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import CLASSES, write_mstcn

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.dataset import Written, write_dataset
from rhas.manifests.imports.mstcn import read_mstcn
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.folds import load_folds
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import load_manifest
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary
from rhas.train.data import DataConfig, load_dataset, rasterise

VIDEOS = {"rgb-01-1": [0] * 20 + [2] * 700 + [1] * 3, "P03_cam01": [1, 1, 0], "S1": [2, 1] * 9, "z": [0]}
FOLDS = {1: (["P03_cam01", "rgb-01-1", "z"], ["S1"]), 2: (["S1", "rgb-01-1"], ["P03_cam01"])}


def imported(source: Path, out: Path, **options: object) -> Written:
    return write_dataset(FeaturesFolder(out), read_mstcn(source, **options))  # type: ignore[arg-type]


def problems_of(source: Path, **options: float) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_mstcn(source, **options)  # type: ignore[arg-type]
    return [str(problem).replace(f"{source}/", "") for problem in caught.value.problems]


def test_features_labels_and_folds_come_through(tmp_path: Path) -> None:
    features = write_mstcn(tmp_path / "in", VIDEOS, FOLDS)
    out = FeaturesFolder(tmp_path / "out")
    written = imported(tmp_path / "in", out.root, fps=30.0)
    assert (written.movies, written.skipped, written.cut, written.without_partial) == (4, 0, 0, 4)

    checks = list(verify(out.root))
    assert [(check.problems, check.failures) for check in checks] == [([], [])] * 4
    for name, array in features.items():
        series = FeaturesReader(out.root).person(name, "actor")
        np.testing.assert_array_equal(series.holistic[...], array.T.astype(np.float16))
        assert np.isnan(series.partial[...]).all() and np.isnan(series.box[...]).all()
        assert (series.status == FrameStatus.MISSING).all()
        np.testing.assert_array_equal(series.time_s, np.arange(len(VIDEOS[name])) / 30.0)
    manifest = load_manifest(out.manifest)
    assert [movie.video for movie in manifest.movies] == [
        (tmp_path / "in" / "features" / f"{name}.npy") for name in sorted(VIDEOS)
    ]
    assert load_vocabulary(out.actions) == Vocabulary(CLASSES, ("background",))
    assert load_folds(out.folds) == {
        fold: {name: side for side, own in zip(("train", "test"), sides, strict=True) for name in own}
        for fold, sides in FOLDS.items()
    }


def test_training_reads_the_folder(tmp_path: Path) -> None:
    features = write_mstcn(tmp_path / "in", VIDEOS, FOLDS)
    imported(tmp_path / "in", tmp_path / "out")
    dataset = load_dataset(tmp_path / "out", DataConfig(split="fold", fold=1, window=100_000))
    assert (dataset.feature_size, dataset.vocabulary.actions) == (6, CLASSES)
    seen = set()
    for side, own in dataset.splits.items():
        for i in range(len(own)):
            sample = own[i]
            name = sample.name.split("/")[0]
            seen.add((name, "train" if side == "val" else side))
            np.testing.assert_array_equal(sample.labels.int().argmax(dim=1), VIDEOS[name])
            assert (sample.labels.sum(dim=1) == 1).all() and sample.valid.all()
            np.testing.assert_array_equal(sample.holistic, features[name].T.astype(np.float16))
            assert sample.has_holistic.all() and not sample.has_partial.any()
    assert seen == {
        (name, side) for side, own in zip(("train", "test"), FOLDS[1], strict=True) for name in own
    }


videos = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40), min_size=2, max_size=3)


@settings(deadline=None, max_examples=15)
@given(truths=videos, fps=st.sampled_from([15.0, 29.97, 0.3]), data=st.data())
def test_rasterising_gives_back_every_frame(
    tmp_path_factory: pytest.TempPathFactory, truths: list[list[int]], fps: float, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("made")
    names = [f"v{i}" for i in range(len(truths))]
    extra = {name: data.draw(st.integers(0, 3)) for name in names}
    write_mstcn(folder / "in", dict(zip(names, truths, strict=True)), extra=extra)
    written = imported(folder / "in", folder / "out", fps=fps, tolerance=3, layout="F×T")
    assert written.cut == sum(more > 0 for more in extra.values())
    out = FeaturesFolder(folder / "out")
    assert not any(check.problems for check in verify(out.root))
    vocabulary = load_vocabulary(out.actions)
    labels = load_labels(out.labels, vocabulary, load_manifest(out.manifest))
    for name, truth in zip(names, truths, strict=True):
        series = FeaturesReader(out.root).person(name, "actor")
        labels_TC, _ = rasterise(labels.intervals[name, "actor"], series.time_s, vocabulary)
        np.testing.assert_array_equal(labels_TC, np.array(truth)[:, None] == np.arange(3))


def test_features_the_other_way_round_are_turned(tmp_path: Path) -> None:
    """Also where each file, taken alone, could be either: the size of the features is one for all."""
    truths = {"a": [0, 1] * 4, "b": [1] * 5, "c": [2] * 90}
    features = write_mstcn(tmp_path / "in", truths)
    usual = read_mstcn(tmp_path / "in")
    for name, array in features.items():
        np.save(tmp_path / "in" / "features" / f"{name}.npy", array.T)
    turned = read_mstcn(tmp_path / "in")
    assert turned.settings == {"tolerance": 15, "features": "T×F"} and usual.settings == {"tolerance": 15}
    write_dataset(FeaturesFolder(tmp_path / "out"), turned)
    for name, array in features.items():
        series = FeaturesReader(tmp_path / "out").person(name, "actor")
        np.testing.assert_array_equal(series.holistic[...], array.T.astype(np.float16))


def test_features_that_may_be_either_way_round_are_refused(tmp_path: Path) -> None:
    """Six features and six frames, or nearly six: nothing tells, unless one way is right to the frame."""
    truths = {"a": [0] * 6, "b": [1] * 6}
    write_mstcn(tmp_path / "square", truths)
    (problem,) = problems_of(tmp_path / "square")
    assert (
        problem.startswith("features/a.npy: got '6×6 beside 6 frames of a.txt': expected")
        and "--layout" in problem
    )
    assert read_mstcn(tmp_path / "square", layout="T×F").settings["features"] == "T×F"
    write_mstcn(tmp_path / "near", {"a": [0] * 9, "b": [1] * 9})
    assert read_mstcn(tmp_path / "near").settings == {"tolerance": 15}
    write_mstcn(tmp_path / "nearer", {"a": [0] * 9, "b": [1] * 9}, extra={"a": 1, "b": 1})
    assert "may be F×T or T×F, give or take 15" in problems_of(tmp_path / "nearer")[0]
    assert read_mstcn(tmp_path / "nearer", tolerance=1).settings == {"tolerance": 1}


@pytest.mark.parametrize("more", [4, -4])
def test_the_longer_of_features_and_truth_is_cut(tmp_path: Path, more: int) -> None:
    features = write_mstcn(tmp_path / "in", {"a": [0, 1] * 5, "b": [1]}, extra={"a": more})
    out = FeaturesFolder(tmp_path / "out")
    assert imported(tmp_path / "in", out.root, tolerance=4).cut == 1
    with FeaturesReader(out.root).shard("a") as shard:
        kept = min(10, 10 + more)
        np.testing.assert_array_equal(
            shard.person("actor").holistic[...], features["a"].T[:kept].astype("f2")
        )
        assert (shard.json("source")["frames"], shard.json("source")["cut"]) == (max(10, 10 + more), 4)
    assert load_labels(out.labels, None, None).intervals["a", "actor"][-1].end_s == kept / 15
    file, got = ("groundTruth/a.txt", 10) if more > 0 else ("features/a.npy", 6)
    (problem,) = problems_of(tmp_path / "in", tolerance=3)
    assert problem.startswith(f"{file}: got {got}: expected {max(10, 10 + more)} frames")


def test_a_rerun_writes_what_is_missing_damaged_or_changed(tmp_path: Path) -> None:
    features = write_mstcn(tmp_path / "in", VIDEOS)
    out = FeaturesFolder(tmp_path / "out")
    imported(tmp_path / "in", out.root)
    written = out.shard("S1").stat()
    out.shard("z").unlink()
    (out.shards / ".z.h5.123.tmp").write_bytes(b"half")
    damaged = bytearray(out.shard("rgb-01-1").read_bytes())
    at = damaged.find(features["rgb-01-1"].T[600:].astype(np.float16).tobytes())
    assert at > 0
    damaged[at] ^= 1
    out.shard("rgb-01-1").write_bytes(damaged)
    np.save(tmp_path / "in" / "features" / "P03_cam01.npy", features["P03_cam01"] + 1)
    assert imported(tmp_path / "in", out.root).skipped == 1
    now = out.shard("S1").stat()  # read, but not written: only its time of access may be another
    assert (now.st_ino, now.st_mtime_ns, now.st_size) == (
        written.st_ino,
        written.st_mtime_ns,
        written.st_size,
    )
    assert not any(check.problems for check in verify(out.root))
    changed = FeaturesReader(out.root).person("P03_cam01", "actor").holistic[...]
    np.testing.assert_array_equal(changed, (features["P03_cam01"] + 1).T.astype(np.float16))
    assert not list(out.shards.glob(".*"))
    assert imported(tmp_path / "in", out.root).skipped == 4


def test_other_settings_and_other_movies_are_refused(tmp_path: Path) -> None:
    write_mstcn(tmp_path / "in", VIDEOS)
    imported(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="the settings that the folder was begun with"):
        imported(tmp_path / "in", tmp_path / "out", fps=30.0)
    write_mstcn(tmp_path / "other", {"q": [0], "z": [0]})
    with pytest.raises(InputError, match="P03_cam01, S1, rgb-01-1"):
        imported(tmp_path / "other", tmp_path / "out")


@pytest.mark.parametrize("value", [np.nan, np.inf, 65520.0, -1e30])
def test_numbers_that_float16_cannot_hold_are_named_and_the_rest_is_written(
    tmp_path: Path, value: float
) -> None:
    features = write_mstcn(tmp_path / "in", VIDEOS)
    bad = features["rgb-01-1"].copy()
    bad[3, 600] = value
    np.save(tmp_path / "in" / "features" / "rgb-01-1.npy", bad)
    with pytest.raises(InputError) as caught:
        imported(tmp_path / "in", tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.file == tmp_path / "in" / "features" / "rgb-01-1.npy"
    assert "frame 600" in str(problem)
    assert FeaturesReader(tmp_path / "out").movie_ids == ["P03_cam01", "S1", "z"]
    np.save(tmp_path / "in" / "features" / "rgb-01-1.npy", np.clip(features["rgb-01-1"], -65504, 65504))
    assert imported(tmp_path / "in", tmp_path / "out").skipped == 3


def test_the_case_of_features_stored_by_frame(tmp_path: Path) -> None:
    case = Path(__file__).parents[4] / "shared" / "cases" / "features_the_other_way_round" / "data"
    if not case.is_dir():
        pytest.skip(f"{case} is not here")
    found = read_mstcn(case)
    assert found.settings["features"] == "T×F" and found.feature_shape == (16,)
    assert [movie.cut for movie in found.movies] == [0] * 6


def test_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_mstcn(source, {"a": [0, 1], "b": [1, 2], "c": [0] * 40, "d": [1, 2, 0] * 20, "e": [1] * 30})
    (source / "groundTruth" / "b.txt").write_text("cut tomato\nadd_oill\n")
    np.save(source / "features" / "c.npy", np.zeros((40, 6), np.float32))
    np.save(source / "features" / "e.npy", np.zeros((6, 70), np.float32))
    turned, length, name = problems_of(source)
    assert turned.startswith("features/c.npy: got '40×6': expected features F×T, with the 40 frames of")
    assert "this one looks like T×F" in turned
    assert length.startswith("groundTruth/e.txt: got 30: expected 70 frames, as features/e.npy has")
    assert name.startswith("groundTruth/b.txt, row 2: got 'add_oill'") and "did you mean 'add_oil'" in name
    source = tmp_path / "sizes"
    write_mstcn(source, {"a": [0, 1], "b": [1, 2], "c": [0] * 40})
    np.save(source / "features" / "b.npy", np.zeros((7, 2), np.float32))
    (problem,) = problems_of(source)
    assert problem.startswith("features/b.npy: got '7': expected frames of 6 numbers")


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("mapping.txt", None, "mapping.txt: expected a readable text file"),
        ("mapping.txt", "\n", "at least one line"),
        ("mapping.txt", "background\n", "row 1: got 'background': expected an index and a name"),
        ("mapping.txt", "0 a\n0 b\n", "row 2, column name: got 'b': expected each index and each name once"),
        ("mapping.txt", "0 a\n1 a\n", "row 2, column name: got 'a'"),
        ("mapping.txt", "1 a\n3 b\n", "row 2, column name: got 'b': expected indices from 1 to 2"),
        ("mapping.txt", "0 a\n2 b\n", "row 2, column name: got 'b': expected indices from 0 to 1"),
        ("mapping.txt", "0 n/a\n", "N/A is reserved"),
        (
            "splits/train.split1.bundle",
            "a.npy\n",
            "row 1: got 'a.npy': expected a file of groundTruth, NAME.txt",
        ),
        ("splits/train.split1.bundle", "a.txt\na.txt\n", "row 2: got 'a.txt': expected each video once"),
        ("splits/train.split1.bundle", "a.txt\nb.txt\n", "each video once in a fold"),
        ("splits/train.split1.bundle", None, "splits/train.split1.bundle: got 'no such file'"),
        ("splits/train.split2.bundle", "a.txt\n", "splits/test.split2.bundle: got 'no such file'"),
        ("splits/all.bundle", "a.txt\n", "splits/all.bundle: expected a name like train.split1.bundle"),
        ("groundTruth/a.txt", "background\n\nbackground\n", "groundTruth/a.txt, row 2"),
        (
            "groundTruth/A.txt",
            "background\n",
            "column name: got 'a': expected a name that differs from 'A'",
        ),
        ("features/b.npy", "text", "features/b.npy: expected an array file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, file: str, text: str | None, expected: str) -> None:
    write_mstcn(tmp_path, {"a": [0, 0], "b": [0, 0]})
    path = tmp_path / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    problems = problems_of(tmp_path)
    assert any(expected in problem for problem in problems), problems


def test_names_that_are_no_ids(tmp_path: Path) -> None:
    write_mstcn(tmp_path, {" a": [0], "B": [0], "b": [0]})
    problems = problems_of(tmp_path)
    assert any("got ' a'" in problem and "an id: a text without" in problem for problem in problems)
    assert any("got 'b'" in problem and "by more than case" in problem for problem in problems)


def test_text_files_as_windows_and_macs_leave_them(tmp_path: Path) -> None:
    write_mstcn(tmp_path / "in", {"a": [0, 2], "b": [1, 1]})
    for path in (tmp_path / "in").rglob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    (tmp_path / "in" / "groundTruth" / "._a.txt").write_bytes(b"\x00\x05")
    (tmp_path / "in" / "splits" / "._train.split1.bundle").write_bytes(b"\x00\x05")
    found = read_mstcn(tmp_path / "in")
    assert found.vocabulary.actions == CLASSES
    assert [[i.action for i in movie.intervals] for movie in found.movies] == [
        ["background", "add_oil"],
        ["cut tomato"],
    ]


def test_bundles_with_headers_and_paths_and_a_mapping_from_1(tmp_path: Path) -> None:
    write_mstcn(tmp_path, VIDEOS)
    plain = read_mstcn(tmp_path)
    (tmp_path / "mapping.txt").write_text("1 background\n2 cut tomato\n3 add_oil\n")
    for side in ("train", "test"):
        bundle = tmp_path / "splits" / f"{side}.split1.bundle"
        paths = [f"./data/50salads/groundTruth/{line}" for line in bundle.read_text().split()]
        bundle.write_text("\n".join(["#bundle", *paths, ""]))
    found = read_mstcn(tmp_path)
    assert (found.folds, found.vocabulary) == (plain.folds, plain.vocabulary)
    assert [movie.intervals for movie in found.movies] == [movie.intervals for movie in plain.movies]


def test_videos_that_are_not_there_are_counted_and_the_others_imported(tmp_path: Path) -> None:
    write_mstcn(tmp_path / "in", VIDEOS, {1: (["P03_cam01", "S1", "gone"], ["rgb-01-1", "z"])})
    (tmp_path / "in" / "features" / "S1.npy").unlink()
    (tmp_path / "in" / "groundTruth" / "z.txt").unlink()
    found = read_mstcn(tmp_path / "in")
    (line,) = found.told()
    assert line == (
        "3 of 5 videos were left out, as failures.csv records: S1 (no features/S1.npy), gone (no features/gone.npy "
        "nor groundTruth/gone.txt), z (no groundTruth/z.txt)"
    )
    write_dataset(FeaturesFolder(tmp_path / "out"), found)
    assert not any(check.problems for check in verify(tmp_path / "out"))
    assert load_folds(FeaturesFolder(tmp_path / "out").folds)[1]["gone"] == "train"
    for path in (tmp_path / "in" / "features").iterdir():
        path.unlink()
    (problem,) = problems_of(tmp_path / "in")
    assert "got '0 beside 3 truths': expected at least one video with features and truth" in problem


# Of the real labels: videos, frames, classes, and test videos of each fold.
REAL = {
    "50salads": (50, 577_595, 19, [10] * 5),
    "breakfast": (1712, 3_590_899, 48, [252, 451, 433, 576]),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_labels_come_through_as_they_are(tmp_path: Path, name: str) -> None:
    archive = Path(__file__).parents[4] / "shared" / "data" / f"{name}.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    source = tmp_path / name
    (source / "features").mkdir()
    lines = {path.stem: path.read_text().split() for path in (source / "groundTruth").iterdir()}
    for video, truth in lines.items():
        np.save(source / "features" / f"{video}.npy", np.zeros((1, len(truth)), np.float16))
    found = read_mstcn(source, fps=30.0)
    assert not found.lost and not any(movie.cut for movie in found.movies)
    assert found.folds is not None
    tests = [sum(side == "test" for side in fold.values()) for fold in found.folds.values()]
    frames = sum(movie.frames for movie in found.movies)
    assert (len(found.movies), frames, len(found.vocabulary), tests) == REAL[name]
    for movie in found.movies:
        own = lines[movie.movie.movie_id]
        said = [(i.action, round(i.start_s * 30), round(i.end_s * 30)) for i in movie.intervals]
        assert sorted(said, key=lambda run: run[1]) == runs_of(own)


def runs_of(lines: list[str]) -> list[tuple[str, int, int]]:
    """Class, first frame and end of each run of lines."""
    runs, at = [], 0
    for name, run in groupby(lines):
        runs.append((name, at, at := at + len(list(run))))
    return runs


def test_an_empty_folder(tmp_path: Path) -> None:
    assert {problem.split(":")[0] for problem in problems_of(tmp_path)} == {
        "mapping.txt",
        "features",
        "splits",
    }
