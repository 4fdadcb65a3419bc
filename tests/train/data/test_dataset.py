"""A features folder as training data: what is in it, and what makes it unfit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from feature_folders import FPS, make_windows
from training_folders import VOCABULARY, intervals_of, labelled_movie, two_persons, write_training_folder

import rhas
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import movie_failure, write_failures
from rhas.manifests.shards.format import write_shard
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.folds import write_folds
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Person
from rhas.train.data import DataConfig, collate, load_dataset

CONFIG = DataConfig(window=16, split="random")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "features"


def _message(root: Path, config: DataConfig = CONFIG) -> str:
    with pytest.raises(InputError) as caught:
        load_dataset(root, config)
    return str(caught.value)


def test_samples_are_the_promised_frames_of_everyone(root: Path) -> None:
    movies = [labelled_movie(f"m{i}", samples=40 + 7 * i) for i in range(4)]
    write_training_folder(root, movies)
    dataset = load_dataset(root, CONFIG)
    assert (dataset.feature_size, dataset.vocabulary) == (6, VOCABULARY)
    assert (dataset.unlabelled, dataset.lost_movies, dataset.left_out_frames) == ((), (), 0)
    samples = {sample.name: sample for split in dataset.splits.values() for sample in split}
    promised = {(s.movie_id, s.person_id): s for s in FeaturesReader(root).persons()}
    for (movie_id, person_id), series in promised.items():
        frames = np.flatnonzero(series.status)
        count = -(-len(frames) // 16)
        starts = [frames[0] + i * len(frames) // count for i in range(count)]
        own = [samples.pop(f"{movie_id}/{person_id}/{start}") for start in starts]
        holistic = torch.cat([sample.holistic for sample in own])
        expected = np.nan_to_num(series.holistic[frames[0] : frames[-1] + 1].astype(np.float32))
        np.testing.assert_array_equal(holistic, expected)
    assert not samples


def test_a_person_behind_the_movies_end_has_no_samples_and_needs_no_labels(root: Path) -> None:
    movies = [labelled_movie(f"m{i}") for i in range(3)]
    late = (*two_persons("m3"), Person("m3", "late", "the child", 99.0, 100.0))
    movies.append(labelled_movie("m3", persons=late))
    labels = {p.key: intervals_of(f) for f in movies for p in f.persons if p.person_id != "late"}
    write_training_folder(root, movies, labels)
    names = [name.split("/")[1] for name in _names(root)]
    assert set(names) == {"a", "b"}


def _names(root: Path, config: DataConfig = CONFIG) -> list[str]:
    return [window.name for split in load_dataset(root, config).splits.values() for window in split.windows]


def test_those_who_are_there_for_a_moment_can_be_left_out(root: Path) -> None:
    write_training_folder(root, [labelled_movie(f"m{i}") for i in range(3)])
    dataset = load_dataset(root, DataConfig(window=30, split="random", min_frames=25))
    # Person a has 40 frames, b 20.
    assert dataset.left_out_frames == 3 * 20
    assert sum(len(split) for split in dataset.splits.values()) == 3 * 2
    assert any("60 frames of persons who are there for fewer" in line for line in dataset.told())


@pytest.mark.parametrize("split", ["random", "cross-movie", "manifest", "fold"])
def test_windows_overlap_where_nothing_leaks_and_nothing_weighs_double(root: Path, split: str) -> None:
    sides = ["train"] * 4 + ["val", "test"]
    movies = [
        labelled_movie(f"m{i}", persons=two_persons(f"m{i}", (side, side))) for i, side in enumerate(sides)
    ]
    folder = write_training_folder(root, movies)
    write_folds({1: {f"m{i}": "test" if i < 2 else "train" for i in range(6)}}, folder.folds)
    splits = load_dataset(root, DataConfig(window=16, split=split, overlap=0.5)).splits  # type: ignore[arg-type]
    seen: dict[str, dict[tuple[str, str, int], int]] = {}
    for side, samples in splits.items():
        frames = Counter((*w.place[:2], t) for w in samples.windows for t in range(w.start, w.stop))
        assert set(frames.values()) <= ({1} if side == "train" or split == "random" else {1, 2, 3})
        assert side == "train" or split == "random" or max(frames.values()) > 1
        apart = samples.disjoint(16)
        assert Counter(
            (*w.place[:2], t) for w in apart.windows for t in range(w.start, w.stop)
        ) == dict.fromkeys(frames, 1)
        seen[side] = frames
    assert not seen["train"].keys() & (seen["val"].keys() | seen["test"].keys())
    assert not seen["val"].keys() & seen["test"].keys()
    assert sum(map(len, seen.values())) == 6 * 60


def test_what_is_left_out_or_half_there_is_told(root: Path) -> None:
    movies = [labelled_movie(f"m{i}") for i in range(6)]
    labels = {p.key: intervals_of(f) for f in movies for p in f.persons}
    labels["m0", "a"] = (Interval("running", 0.0, 1.0), Interval("running", 99.5, 100.0))
    folder = write_training_folder(root, movies, labels)
    folder.shard("m5").unlink()
    write_failures(folder.failures, [movie_failure("m5", "probe", "no movie")])
    write_folds({1: {f"m{i}": "test" if i == 0 else "train" for i in range(4)}}, folder.folds)
    dataset = load_dataset(root, DataConfig(split="fold"))
    told = list(dataset.told())
    assert told[0].startswith("train: 4 samples of 4 persons in 2 movies")
    assert told[1].startswith("val: 2 samples of 2 persons in 1 movies: m")
    assert "left out: 1 movies that could not be extracted: m5" in told
    assert "left out: 1 movies that are in no half of the fold: m4" in told
    assert "1 of 47 labels" in told[-1] and "row" in told[-1] and told[-1].startswith("warning: ")
    statuses = np.concatenate([w.status for split in dataset.splits.values() for w in split.windows])
    lacking = {s.name.lower(): int((statuses == s).sum()) for s in FrameStatus if s in (3, 4, 5)}
    assert dataset.without_features == {name: count for name, count in lacking.items() if count}
    assert f"{lacking['missing']} frames have no partial features (missing); zeros stand for them" in told
    record = dataset.record()
    assert record["lost_movies"] == ["m5"] and record["movies_in_no_split"] == ["m4"]
    assert record["frames_without_features"] == dataset.without_features


def test_a_movie_listed_twice_is_one_movie(root: Path) -> None:
    """m0 and m1 seem two movies until m2 has the contents of the one and the place of the other."""
    movies = [labelled_movie(f"m{i}", video_id="same" if i in (0, 2) else None) for i in range(6)]
    folder = write_training_folder(root, movies)
    text = folder.manifest.read_text()
    folder.manifest.write_text(text.replace("/movies/m2.mp4", "/movies/m1.mp4"))
    for seed in range(8):
        splits = load_dataset(root, DataConfig(window=16, seed=seed)).splits
        sides = {
            movie_id: {
                name for name, split in splits.items() for s in split.windows if s.place[0] == movie_id
            }
            for movie_id in ("m0", "m1", "m2")
        }
        assert sides["m0"] == sides["m1"] == sides["m2"] and len(sides["m0"]) == 1


def test_a_manifests_split_is_not_cross_movie_by_itself(root: Path) -> None:
    movies = [
        labelled_movie(f"m{i}", persons=two_persons(f"m{i}", sides))
        for i, sides in enumerate([("train", "train"), ("val", "test")])
    ]
    write_training_folder(root, movies)
    assert len(_names(root, DataConfig(window=16, split="manifest"))) == 10
    message = _message(root, DataConfig(window=16, split="manifest", movies_apart=True))
    assert "got 'test: m1; val: m1'" in message and "persons of movie m1" in message


def test_no_folder_and_no_labels_are_named(root: Path) -> None:
    assert "config.json" in _message(root)
    folder = write_training_folder(root, [labelled_movie("m0")])
    folder.labels.unlink()
    message = _message(root)
    assert str(folder.labels) in message and "rhas labels" in message


def test_labels_outside_the_vocabulary_are_named(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie("m0")])
    folder.labels.write_text(folder.labels.read_text().replace("walking", "wolking"))
    assert "labels.csv, row 3, column action: got 'wolking'" in _message(root)


def test_persons_without_labels_are_all_listed_or_skipped_and_counted(root: Path) -> None:
    movies = [labelled_movie(f"m{i}") for i in range(4)]
    labels = {p.key: intervals_of(f) for f in movies for p in f.persons}
    del labels["m0", "b"], labels["m2", "a"]
    write_training_folder(root, movies, labels)
    assert "got 'none for m0/b, m2/a'" in _message(root)
    skipping = DataConfig(window=16, split="random", unlabelled="skip")
    assert load_dataset(root, skipping).unlabelled == ("m0/b", "m2/a")
    assert not {n for n in _names(root, skipping) if n.startswith(("m0/b/", "m2/a/"))}


def test_features_of_another_size_are_named(root: Path) -> None:
    movies = [labelled_movie("m0"), labelled_movie("m1", feature_shape=(7,)), labelled_movie("m2")]
    folder = write_training_folder(root, movies)
    expected = f"{folder.shard('m1')}: got '7': expected features of size 6, as in m0.h5"
    assert _message(root) == expected
    message = _message(root, DataConfig(split="random", feature_size=7))
    assert [line.split(":")[0] for line in message.splitlines()] == [
        str(folder.shard("m0")), str(folder.shard("m2")),
    ]  # fmt: skip
    assert "expected features of size 7, as configured" in message


def test_text_embeddings_of_another_size_are_named(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie("m0"), labelled_movie("m1")])
    with h5py.File(folder.shard("m1"), "r+") as file:
        del file["persons/b/text_embedding"]
    assert "got 'none': expected 4, as for a in m0.h5, as size" in _message(root)


def test_shards_of_another_extraction_are_named(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie("m0"), labelled_movie("m1")])
    with h5py.File(folder.shard("m1"), "r+") as file:
        identity = json.loads(bytes(file.attrs["identity"]).decode())
        identity["extraction"] = "0" * 32
        _describe(file, identity=identity, config={"precision": "other"})
    message = _message(root)
    assert message.startswith(str(folder.shard("m1"))) and "got 'another extraction, config'" in message


def _describe(file: h5py.File, **values: Any) -> None:
    for name, value in values.items():
        text = json.dumps(value).encode()
        file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", len(text)))


def test_a_changed_manifest_is_noticed(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie("m0"), labelled_movie("m1")])
    folder.manifest.write_text(folder.manifest.read_text().replace("the man in red", "the man in blue"))
    assert _message(root).count("got 'another persons'") == 2


def test_an_unfinished_extraction_is_no_dataset_but_a_recorded_loss_is_known(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie(f"m{i}") for i in range(5)])
    folder.shard("m3").unlink()
    assert f"{folder.shard('m3')}: expected the shard of movie m3" in _message(root)
    write_failures(folder.failures, [movie_failure("m3", "probe", "no movie")])
    assert load_dataset(root, CONFIG).lost_movies == ("m3",)
    assert not [name for name in _names(root) if name.startswith("m3/")]


def test_a_damaged_shard_is_named_beside_other_problems(root: Path) -> None:
    folder = write_training_folder(root, [labelled_movie("m0"), labelled_movie("m1"), labelled_movie("m2")])
    folder.shard("m0").write_bytes(b"nothing")
    folder.shard("m1").unlink()
    assert [line.split(":")[0] for line in _message(root).splitlines()] == [
        str(folder.shard("m0")), str(folder.shard("m1")),
    ]  # fmt: skip


def test_times_that_do_not_rise_are_named(root: Path) -> None:
    header = labelled_movie("m0")
    folder = write_training_folder(root, [header])
    header.time_s[5] = 4 / FPS
    write_shard(folder, header, make_windows(header).__getitem__)
    assert "expected times that rise from sample to sample" in _message(root)


def test_an_empty_split_is_an_error(root: Path) -> None:
    write_training_folder(root, [labelled_movie("m0"), labelled_movie("m1")])
    message = _message(root, DataConfig(split="cross-movie"))
    assert "at least one sample in val" in message and "train" not in message


@pytest.mark.parametrize(
    ("setting", "column"),
    [
        ({"window": 0, "min_frames": 0}, "window"),
        ({"window": 10, "min_frames": 11}, "min_frames"),
        ({"split": "by-movie"}, "split"),
        ({"proportions": (1, 2)}, "proportions"),
        ({"proportions": (1, 2, 0)}, "proportions"),
        ({"proportions": (1, 2, 3), "split": "manifest"}, "proportions"),
        ({"movies_apart": True, "split": "random"}, "movies_apart"),
        ({"seed": -1}, "seed"),
        ({"unlabelled": "keep"}, "unlabelled"),
        ({"feature_size": 0}, "feature_size"),
    ],
)
def test_a_config_is_checked(setting: dict[str, Any], column: str) -> None:
    with pytest.raises(InputError) as caught:
        DataConfig(**setting)
    assert column in {problem.column for problem in caught.value.problems}


def test_a_loop_of_ones_own_gets_the_same_samples(root: Path) -> None:
    """`rhas.dataset` with torch's own loader, in another process."""
    write_training_folder(root, [labelled_movie(f"m{i}", samples=40 + 7 * i) for i in range(4)])
    expected = load_dataset(root, CONFIG).splits["train"]
    samples = rhas.dataset(root, "train", by="random", window=16)
    assert isinstance(samples, torch.utils.data.Dataset) and samples.vocabulary == VOCABULARY
    loader = torch.utils.data.DataLoader(samples, batch_size=3, collate_fn=collate, num_workers=1)
    batches = list(loader)
    assert [name for batch in batches for name in batch.names] == [sample.name for sample in expected]
    first = batches[0]
    torch.testing.assert_close(first.holistic_BFT[0, :, : first.lengths_B[0]].T, expected[0].holistic)
    for wrong, said in (
        ({"split": "tset"}, "column split: got 'tset': expected one of train, val, test"),
        ({"by": "movie"}, "column split: got 'movie'"),
        ({"windows": 3}, "did you mean window"),
    ):
        with pytest.raises(InputError, match=said):
            rhas.dataset(root, **wrong)  # type: ignore[arg-type]
