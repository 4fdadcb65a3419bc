"""RHAS133 as its authors hand it out, to a features folder: proven on a made data set in that layout."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import write_pickles, write_rhas133

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.dataset import ImportedSet, Written, write_dataset
from rhas.manifests.imports.rhas133 import read_rhas133
from rhas.manifests.imports.rhas133_options import Rhas133Options
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import load_manifest
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.train.data import DataConfig, load_dataset, rasterise

VOCABULARY = load_vocabulary()
TRAIN = [[[0], [0, 5], ["136"]], [[np.int64(3)], [], 7, ("8",), {9, 2}], [[1], [1]]]
VAL = [[[4, 4], [4]]]
TEST = [[np.array([1, 2]), [np.str_("3")]], [[6]] * 600]


def make(root: Path) -> dict[str, dict[str, list[np.ndarray | None]]]:
    """Three splits; no partial file for the second training sample."""
    return {
        "train": write_rhas133(root, "train", TRAIN, without_partial=[1]),
        "val": write_rhas133(root, "val", VAL),
        "test": write_rhas133(root, "test", TEST),
    }


def read(root: Path, **options: Any) -> ImportedSet:
    return read_rhas133(root, Rhas133Options(**options), VOCABULARY)


def imported(root: Path, out: Path, **options: Any) -> Written:
    return write_dataset(FeaturesFolder(out), read(root, **options))


def problem_of(root: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(root, **options)
    (problem,) = caught.value.problems
    return str(problem).replace(f"{root}/", "")


def rastered(out: Path, movie_id: str) -> list[set[int]]:
    intervals = load_labels(FeaturesFolder(out).labels, VOCABULARY, None).intervals
    series = FeaturesReader(out).person(movie_id, "person")
    labels_TC, _ = rasterise(intervals[movie_id, "person"], series.time_s, VOCABULARY)
    return [set(np.flatnonzero(row).tolist()) for row in labels_TC]


def test_everything_comes_through(tmp_path: Path) -> None:
    features = make(tmp_path / "in")
    out = tmp_path / "out"
    written = imported(tmp_path / "in", out)
    assert (written.movies, written.cut, written.without_partial) == (6, 0, 1)
    checks = {check.movie_id: check for check in verify(out)}
    assert not any(check.problems or check.failures for check in checks.values())
    assert checks["train_0"].tally is not None and checks["train_0"].tally[FrameStatus.IMPORTED] == 3

    for split, streams in features.items():
        for i in range(len(streams["holistic"])):
            series = FeaturesReader(out).person(f"{split}_{i}", "person")
            assert (series.split, series.reference) == (split, f"the person {i}")
            for stream in ("holistic", "partial"):
                stored, made = getattr(series, stream)[...], streams[stream][i]
                if made is None:
                    assert np.isnan(stored).all() and (series.status == FrameStatus.MISSING).all()
                else:
                    np.testing.assert_array_equal(stored, made.mean(axis=1, dtype=np.float32).astype("f2"))
            assert np.isnan(series.box[...]).all() and np.isnan(series.score[...]).all()
    assert rastered(out, "train_0") == [{0}, {0, 5}, {136}]
    assert rastered(out, "train_1") == [{3}, set(), {7}, {8}, {9, 2}]
    assert rastered(out, "test_0") == [{1, 2}, {3}]


def test_training_reads_the_folder(tmp_path: Path) -> None:
    features = make(tmp_path / "in")
    imported(tmp_path / "in", tmp_path / "out")
    dataset = load_dataset(tmp_path / "out", DataConfig(split="manifest", movies_apart=True))
    assert {side: [sample.split("/")[0] for sample in (s.name for s in own.windows)]
            for side, own in dataset.splits.items()} == {
        "train": ["train_0", "train_1", "train_2"], "val": ["val_0"], "test": ["test_0", "test_1"],
    }  # fmt: skip
    sample = dataset.splits["train"][1]
    assert sample.has_holistic.all() and not sample.has_partial.any() and sample.valid.all()
    made = features["train"]["holistic"][1]
    assert made is not None
    np.testing.assert_allclose(sample.holistic, made.mean(axis=1), atol=1e-3)
    assert dataset.feature_size == 6


def test_all_tokens_are_kept_on_request(tmp_path: Path) -> None:
    features = make(tmp_path / "in")
    imported(tmp_path / "in", tmp_path / "out", tokens="all")
    assert not any(check.problems for check in verify(tmp_path / "out"))
    series = FeaturesReader(tmp_path / "out").person("test_1", "person")
    made = features["test"]["partial"][1]
    assert made is not None
    np.testing.assert_array_equal(series.partial[...], made.astype(np.float16))
    assert load_dataset(tmp_path / "out", DataConfig(split="manifest")).feature_size == 6
    with pytest.raises(InputError, match="the settings that the folder was begun with"):
        imported(tmp_path / "in", tmp_path / "out")


def test_features_without_tokens(tmp_path: Path) -> None:
    features = write_rhas133(tmp_path, "train", [[[1], [2]]], tokens=None)["holistic"][0]
    assert features is not None
    movie = read(tmp_path).movies[0]
    np.testing.assert_array_equal(movie.holistic.rows(0, 2), features)
    assert "features T×N×F" in problem_of_each(tmp_path, tokens="all")[0]


def problem_of_each(root: Path, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(root, **options)
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


def test_frames_of_a_partial_file_without_a_crop_are_missing(tmp_path: Path) -> None:
    features = write_rhas133(tmp_path, "train", [[[1]] * 4])["partial"][0]
    assert features is not None
    features[2] = np.nan
    np.save(tmp_path / "RHAS_feature_blipv2_train_grounding_dino" / "0_blip_feat.npy", features)
    imported(tmp_path, tmp_path / "out")
    found, missing = FrameStatus.IMPORTED, FrameStatus.MISSING
    assert FeaturesReader(tmp_path / "out").person("train_0", "person").status.tolist() == [
        found, found, missing, found,
    ]  # fmt: skip
    assert not any(check.problems for check in verify(tmp_path / "out"))
    features[1, :, 3] = np.nan
    np.save(tmp_path / "RHAS_feature_blipv2_train_grounding_dino" / "0_blip_feat.npy", features)
    with pytest.raises(InputError, match=r"train_grounding_dino/0_blip_feat.npy: got 'others in frame 1"):
        imported(tmp_path, tmp_path / "out")


def test_a_partial_file_that_comes_later_is_taken_up(tmp_path: Path) -> None:
    features = make(tmp_path / "in")
    imported(tmp_path / "in", tmp_path / "out")
    late = features["train"]["holistic"][1]
    assert late is not None
    np.save(tmp_path / "in" / "RHAS_feature_blipv2_train_grounding_dino" / "1_blip_feat.npy", late)
    assert imported(tmp_path / "in", tmp_path / "out").skipped == 5
    status = FeaturesReader(tmp_path / "out").person("train_1", "person").status
    assert (status == FrameStatus.IMPORTED).all()


labels = st.lists(
    st.lists(st.sets(st.integers(0, 136), max_size=4), min_size=1, max_size=30), min_size=1, max_size=3
)
written_as = st.sampled_from(
    [list, tuple, set, lambda s: [str(i) for i in s], lambda s: np.array(sorted(s), int)]
)


@settings(deadline=None, max_examples=15)
@given(samples=labels, form=written_as, fps=st.sampled_from([15.0, 29.97]), protocol=st.integers(0, 5))
def test_rasterising_gives_back_every_frame(
    tmp_path_factory: pytest.TempPathFactory,
    samples: list[list[set[int]]],
    form: Any,
    fps: float,
    protocol: int,
) -> None:
    folder = tmp_path_factory.mktemp("made")
    actions = [[form(own) for own in sample] for sample in samples]
    write_rhas133(folder, "val", actions, tokens=None)
    path = folder / "actions_val_rhas.pkl"
    path.write_bytes(pickle.dumps(actions, protocol))
    imported(folder, folder / "out", fps=fps)
    assert not any(check.problems for check in verify(folder / "out"))
    known = load_labels_or_none(folder / "out", samples)
    for i, sample in enumerate(samples):
        if any(sample):
            assert rastered(folder / "out", f"val_{i}") == sample
        else:
            assert (f"val_{i}", "person") not in known


def load_labels_or_none(out: Path, samples: list[list[set[int]]]) -> Any:
    """A labels file without rows is none that can be loaded."""
    some = any(own for sample in samples for own in sample)
    return load_labels(FeaturesFolder(out).labels, VOCABULARY, None).intervals if some else {}


def test_frame_ids_name_movies_and_their_frames(tmp_path: Path) -> None:
    ids = [
        ["Heat/f_0012.jpg", "Heat/f_0013.jpg"],
        [4, np.int64(9)],
        ["Up/a", "Up/b"],
        ["x_1", "x_2"],
        ["Heat/5"],
    ]
    write_rhas133(tmp_path, "train", [[[1]] * len(own) for own in ids], ids)
    movies = read(tmp_path).movies
    assert [movie.movie.video.relative_to(tmp_path).as_posix() for movie in movies] == [
        "Heat", "RHAS_feature_blipv2/1_blip_feat.npy", "Up", "RHAS_feature_blipv2/3_blip_feat.npy", "Heat",
    ]  # fmt: skip
    assert [movie.source_frame.tolist() for movie in movies] == [[12, 13], [4, 9], [0, 1], [0, 1], [5]]
    own = read(tmp_path, movie_pattern=r"(?P<movie>\w+?)(/|_).*").movies
    assert [movie.movie.video.name for movie in own] == ["Heat", "1_blip_feat.npy", "Up", "x", "Heat"]


def test_samples_of_one_movie_on_two_sides_are_found(tmp_path: Path) -> None:
    write_rhas133(tmp_path, "train", [[[1]]], [["Heat/1"]])
    write_rhas133(tmp_path, "val", [[[1]]], [["Up/1"]])
    write_rhas133(tmp_path, "test", [[[2]]], [["Heat/7"]])
    imported(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="one split for all persons of movie"):
        load_dataset(tmp_path / "out", DataConfig(split="manifest", movies_apart=True))


def test_the_same_features_on_two_sides_are_found(tmp_path: Path) -> None:
    make(tmp_path / "in")
    twin = (tmp_path / "in" / "RHAS_feature_blipv2" / "2_blip_feat.npy").read_bytes()
    (tmp_path / "in" / "RHAS_feature_blipv2_test" / "0_blip_feat.npy").write_bytes(twin)
    imported(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="one split for all persons of movie"):
        load_dataset(tmp_path / "out", DataConfig(split="manifest", movies_apart=True))


def test_splits_of_other_names_in_other_folders(tmp_path: Path) -> None:
    write_rhas133(tmp_path, "cross_a", [[[1]], [[2]]], folder="")
    write_rhas133(tmp_path, "cross_b", [[[3]]], folder="", first=2)
    options = {
        "splits": {"cross_a": "train", "cross_b": "test"},
        "holistic": "holistic",
        "partial": "partial",
    }
    found = read(tmp_path, **options, numbering="through")
    assert [(f.movie.movie_id, f.movie.persons[0].split) for f in found.movies] == [
        ("cross_a_0", "train"), ("cross_a_1", "train"), ("cross_b_2", "test"),
    ]  # fmt: skip
    assert [movie.intervals[0].action for movie in found.movies] == list(VOCABULARY.actions[1:4])
    assert "folders of its own for split cross_b" in problem_of(tmp_path, **options)
    only = {**options, "splits": {"cross_a": "train"}}
    assert "got '2_blip_feat.npy'" in problem_of_each(tmp_path, **only)[0]


@pytest.mark.parametrize(
    ("what", "value", "expected"),
    [
        ("actions", {"a": 1}, "actions_train_rhas.pkl: got 'dict of 1': expected a list of samples"),
        ("actions", [], "got 'list of 0': expected a list of samples"),
        ("actions", [[[1], [2]], 3], "got '3': expected a list of frames for sample 1"),
        ("actions", [[[1], [2]], []], "expected a list of frames for sample 1"),
        ("actions", [[[1], [137]], [[1]]], "got '137': expected class indices from 0 to 136 for frame 1 of sample 0"),
        ("actions", [[[1], [-1]], [[1]]], "got '-1'"),
        ("actions", [[[1], ["walk"]], [[1]]], "got 'walk'"),
        ("actions", [[[1], [1.0]], [[1]]], "got '1.0'"),
        ("actions", [[[1], [True]], [[1]]], "got 'True'"),
        ("actions", [[[1], [None]], [[1]]], "got 'NoneType'"),
        ("actions", [[[1], [[1]]], [[1]]], "got 'list of 1'"),
        ("actions", [[[1], [10**5000]], [[1]]], "got 'int'"),
        ("actions", [[[1], [0] * 138], [[1]]], "got 'list of 138'"),
        ("actions", [[[1], "٣"], [[1]]], "got '٣'"),
        ("frame_ids", [[0, 1]], "frame_ids_train_rhas.pkl: got 1: expected 2 samples"),
        ("frame_ids", [[0, 1], [0, 1]], "got 2: expected 1 frames of sample 1"),
        ("frame_ids", [[1, 0], [0]], "got '0': expected frame numbers of sample 0 that don't fall"),
        ("frame_ids", [["a/1", "b/2"], [0]], "got 'a (frame 0), b (frame 1)': expected one movie for all frames"),
        ("frame_ids", [["a/1", 2], [0]], "got 'a (frame 0), none (frame 1)'"),
        ("frame_ids", [[0, 1.5], [0]], "got '1.5': expected a number or a short text for frame 1 of sample 0"),
        ("frame_ids", [[0, " \n"], [0]], "for frame 1 of sample 0"),
        ("person_ref", ["a", ""], "person_ref_train_rhas.pkl: got '': expected one sentence"),
        ("person_ref", ["a", 5], "got '5': expected one sentence of 1 to 2000 characters for sample 1"),
        ("person_ref", ["a", ["x", "y"]], "expected one sentence"),
        ("person_ref", ["a", "x" * 2001], "expected one sentence"),
        ("person_ref", [Path("a"), "b"], "global pathlib"),
    ],
)  # fmt: skip
def test_what_pickles_must_not_say(tmp_path: Path, what: str, value: Any, expected: str) -> None:
    write_rhas133(tmp_path, "train", [[[1], [2]], [[3]]], tokens=None)
    (tmp_path / f"{what}_train_rhas.pkl").write_bytes(pickle.dumps(value, 4))
    assert expected in problem_of(tmp_path)


def test_sentences_are_one_line_and_may_be_said_for_every_frame(tmp_path: Path) -> None:
    write_rhas133(tmp_path, "train", [[[1], [2]], [[3]]])
    write_pickles(
        tmp_path, "train", [[[1], [2]], [[3]]], [[0, 1], [0]], [["the man"] * 2, " the\nwömán  here "]
    )
    assert [movie.movie.persons[0].reference for movie in read(tmp_path).movies] == [
        "the man",
        "the wömán here",
    ]


PERSONS = "RHAS_feature_blipv2_train_grounding_dino"


def test_all_is_cut_to_the_persons_features_as_the_authors_loader_does(tmp_path: Path) -> None:
    features = write_rhas133(tmp_path, "train", [[[1], [2], [3]], [[4], [5], [6]]], without_partial=[1])
    np.save(tmp_path / PERSONS / "0_blip_feat.npy", np.zeros((2, 32, 6), np.float32))
    whole = features["holistic"][1]
    assert whole is not None
    np.save(tmp_path / "RHAS_feature_blipv2" / "1_blip_feat.npy", whole[:1])
    movies = read(tmp_path).movies
    assert [(m.frames, m.cut, len(m.intervals), len(m.source_frame)) for m in movies] == [
        (2, 1, 2, 2),
        (1, 2, 1, 1),
    ]
    written = imported(tmp_path, tmp_path / "out")
    assert (written.cut, written.cut_frames) == (2, 3)
    with FeaturesReader(tmp_path / "out").shard("train_1") as shard:
        assert (shard.json("source")["frames"], shard.json("source")["cut"]) == (3, 2)


def test_nothing_may_be_shorter_than_the_persons_features(tmp_path: Path) -> None:
    write_rhas133(tmp_path, "train", [[[1], [2], [3]]])
    np.save(tmp_path / PERSONS / "0_blip_feat.npy", np.zeros((4, 32, 6), np.float32))
    assert "got 3: expected 4 frames" in problem_of(tmp_path) and "(sample 0)" in problem_of(tmp_path)
    (movie,) = read(tmp_path, tolerance=1).movies
    assert (movie.frames, movie.cut) == (3, 1)
    np.save(tmp_path / PERSONS / "0_blip_feat.npy", np.zeros((3, 32, 5), np.float32))
    assert "got '5': expected frames of 6 numbers" in problem_of(tmp_path)
    (tmp_path / PERSONS / "0_blip_feat.npy").write_bytes(b"damaged")  # not the same as missing
    assert f"{PERSONS}/0_blip_feat.npy: expected an array file" in problem_of(tmp_path)


def test_samples_without_features_are_on_record_and_the_others_imported(tmp_path: Path) -> None:
    make(tmp_path / "in")
    (tmp_path / "in" / "RHAS_feature_blipv2" / "0_blip_feat.npy").unlink()
    found = read(tmp_path / "in")
    assert [lost.movie.movie_id for lost in found.lost] == ["train_0"]
    assert "1 of 6 videos were left out" in next(found.told())
    write_dataset(FeaturesFolder(tmp_path / "out"), found)
    checks = {check.movie_id: check for check in verify(tmp_path / "out")}
    assert not any(check.problems for check in checks.values())
    assert [f.reason for f in checks["train_0"].failures] == ["no RHAS_feature_blipv2/0_blip_feat.npy"]
    dataset = load_dataset(tmp_path / "out", DataConfig(split="manifest"))
    assert dataset.lost_movies == ("train_0",) and len(dataset.splits["train"]) == 2
    for file in (tmp_path / "in").rglob("*_blip_feat.npy"):
        file.unlink()
    assert "whole-frame features of at least one of 6 samples" in problem_of(tmp_path / "in")


def test_clip_features_where_the_authors_loader_looks_for_them(tmp_path: Path) -> None:
    """A whole frame's number follows the folder's name without a slash there, maybe by a slip."""
    write_rhas133(tmp_path, "val", [[[1], [2]], [[3]]], tokens=None)
    rng = np.random.default_rng(0)
    made = [rng.standard_normal((frames, 512)).astype(np.float32) for frames in (2, 1, 2)]
    outer = tmp_path / "RHAS_1_feature_clip_val"
    persons = tmp_path / "RHAS_feature_clip_val_grounding_dino"
    outer.mkdir()
    persons.mkdir()
    for i in range(2):
        np.save(outer / f"RHAS_feature_clip_val{i}_clip_feat.npy", made[i])
    np.save(persons / "0_clip_feat.npy", made[2])
    first, second = read(tmp_path, features="clip").movies
    np.testing.assert_array_equal(first.holistic.rows(0, 2), made[0])
    assert first.partial is not None and second.partial is None
    np.testing.assert_array_equal(first.partial.rows(0, 2), made[2])
    inner = outer / "RHAS_feature_clip_val"
    inner.mkdir()
    for i in range(2):
        (outer / f"RHAS_feature_clip_val{i}_clip_feat.npy").rename(inner / f"{i}_clip_feat.npy")
    np.testing.assert_array_equal(read(tmp_path, features="clip").movies[1].holistic.rows(0, 1), made[1])


def write_random(root: Path, **lists: list[tuple[str, list[Any]]]) -> None:
    """Lists of the random protocol: (path, labels) by split."""
    folder = root / "Processing_codes" / "randomsplits"
    folder.mkdir(parents=True)
    for split, samples in lists.items():
        for what, own in zip(("files", "anno"), zip(*samples, strict=True), strict=True):
            (folder / f"{split}_{what}.pkl").write_bytes(pickle.dumps(list(own), 4))


def test_the_random_protocol_has_lists_of_its_own(tmp_path: Path) -> None:
    make(tmp_path)
    for file in tmp_path.glob("*.pkl"):
        (tmp_path / "Processing_codes").mkdir(exist_ok=True)
        file.rename(tmp_path / "Processing_codes" / file.name)
    here = "/disk/neurips2025/RHAS_feature_blipv2"
    write_random(
        tmp_path,
        train=[(f"{here}_test/0_blip_feat.npy", TEST[0]), (f"{here}/1_blip_feat.npy", TRAIN[1])],
        val=[(f"{here}/2_blip_feat.npy", TRAIN[2])],
        test=[(f"{here}_val/0_blip_feat.npy", VAL[0])],
    )
    assert [movie.movie.movie_id for movie in read(tmp_path).movies][:2] == ["train_0", "train_1"]
    found = read(tmp_path, protocol="random")
    assert [(m.movie.movie_id, m.movie.persons[0].split, m.movie.persons[0].reference) for m in found.movies] == [
        ("test_0", "train", "the person 0"), ("train_1", "train", "the person 1"),
        ("train_2", "val", "the person 2"), ("val_0", "test", "the person 0"),
    ]  # fmt: skip
    assert found.movies[1].partial is None and found.movies[0].holistic.path.parts[-2:] == (
        "RHAS_feature_blipv2_test", "0_blip_feat.npy",
    )  # fmt: skip
    for file in (tmp_path / "Processing_codes").glob("*.pkl"):
        file.unlink()
    alone = read(tmp_path, protocol="random")
    assert {movie.movie.persons[0].reference for movie in alone.movies} == {"the person"}
    assert "no person_ref_<split>_rhas.pkl for test, train, val" in alone.warnings[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.npy", "got 'a/b.npy': expected a path …/RHAS_feature_blipv2[_<split>]/<number>_blip_feat.npy"),
        (
            "x/RHAS_feature_blipv2/0_blip_feat.npy",
            "expected each file once; sample 1 is one of train already",
        ),
        ("RHAS_feature_blipv2/7_blip_feat.npy", "expected a number below 3, as in person_ref_train_rhas.pkl"),
    ],
)
def test_random_lists_that_name_no_sample(tmp_path: Path, path: str, expected: str) -> None:
    make(tmp_path / "in")
    for file in (tmp_path / "in").glob("*.pkl"):
        (tmp_path / "in" / "Processing_codes").mkdir(exist_ok=True)
        file.rename(tmp_path / "in" / "Processing_codes" / file.name)
    write_random(tmp_path / "in", train=[("RHAS_feature_blipv2/0_blip_feat.npy", TRAIN[0]), (path, TRAIN[1])])
    assert expected in problem_of(tmp_path / "in", protocol="random")


def test_labels_that_may_be_counted_from_1_are_warned_of(tmp_path: Path) -> None:
    write_rhas133(tmp_path, "train", [[[1], [137 - 1]]])
    (warning,) = read(tmp_path).warnings
    assert "class 0 (arranging) is in none of 1 samples" in warning and "--count-from 1" in warning
    found = read(tmp_path, count_from=1)
    assert [i.action for i in found.movies[0].intervals] == [VOCABULARY.actions[0], VOCABULARY.actions[135]]
    assert (found.warnings, found.settings["count_from"]) == ((), 1)
    write_rhas133(tmp_path, "train", [[[0], [137]]])
    assert "got '0': expected class indices from 1 to 137" in problem_of(tmp_path, count_from=1)
    assert "got '137': expected class indices from 0 to 136" in problem_of(tmp_path)


def test_frame_ids_can_be_left_alone(tmp_path: Path) -> None:
    """The authors load them and never use them, so they may hold anything."""
    write_rhas133(tmp_path, "train", [[[1], [2]]], [[3.5]])
    assert "got 1: expected 2 frames of sample 0" in problem_of(tmp_path)
    (movie,) = read(tmp_path, frame_ids=False).movies
    assert movie.source_frame.tolist() == [0, 1] and movie.movie.video == movie.holistic.path


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "actions_<split>_rhas.pkl" in problem_of(tmp_path)
    make(tmp_path)
    (tmp_path / "person_ref_val_rhas.pkl").unlink()
    assert "person_ref_val_rhas.pkl: expected a readable file" in problem_of(tmp_path)
    assert "actions_dev_rhas.pkl: expected a readable file" in problem_of(tmp_path, splits={"dev": "val"})


@pytest.mark.parametrize(
    "options",
    [
        {"splits": {"dev": "dev"}},
        {"tokens": "first"},
        {"numbering": "odd"},
        {"tolerance": -1},
        {"fps": 0.0},
        {"movie_pattern": "("},
        {"movie_pattern": "(.*)/"},
        {"protocol": "random", "numbering": "through"},
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Rhas133Options(**options)


def test_a_split_named_like_a_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a name without /"):
        read(tmp_path, splits={"../up": "train"})


def test_the_manifest_is_as_the_loaders_want_it(tmp_path: Path) -> None:
    make(tmp_path / "in")
    imported(tmp_path / "in", tmp_path / "out")
    manifest = load_manifest(FeaturesFolder(tmp_path / "out").manifest)
    assert [(p.key, p.split) for p in manifest.persons][:2] == [
        (("train_0", "person"), "train"),
        (("train_1", "person"), "train"),
    ]
    assert not FeaturesFolder(tmp_path / "out").folds.exists()
