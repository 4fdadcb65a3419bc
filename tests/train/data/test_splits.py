"""Splits: disjoint, complete, near their proportions, the same for a seed, movies never on two sides."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_folders import clip_of, windows_of

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.folds import write_folds
from rhas.train.data.config import DataConfig
from rhas.train.data.splits import divide, split_windows
from rhas.train.data.windows import Window

SOURCE = Path("features")
MOVIES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4), st.integers(1, 30), min_size=3, max_size=40
)
PROPORTIONS = st.tuples(*[st.integers(1, 20)] * 3)


def _split(windows: list[Window], **config: object) -> dict[str, list[Window]]:
    return split_windows(windows, DataConfig(**config), SOURCE)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(MOVIES, st.sampled_from(("random", "cross-movie")), st.integers(0, 2**64 - 1), st.randoms())
def test_splits_are_complete_disjoint_and_reproducible(
    movies: dict[str, int], protocol: str, seed: int, shuffler: random.Random
) -> None:
    windows = windows_of(**movies)
    splits = _split(windows, split=protocol, seed=seed)
    assert list(splits) == ["train", "val", "test"]
    together = [window.name for side in splits.values() for window in side]
    assert sorted(together) == sorted(window.name for window in windows)
    if protocol == "cross-movie":
        sides = Counter(
            movie for side in splits.values() for movie in {window.clip.movie_id for window in side}
        )
        assert set(sides.values()) == {1}
    shuffler.shuffle(windows)
    again = _split(windows, split=protocol, seed=seed)
    names = {side: [window.name for window in own] for side, own in splits.items()}
    assert {side: [window.name for window in own] for side, own in again.items()} == names


@settings(max_examples=50, deadline=None)
@given(MOVIES, PROPORTIONS, st.integers(0, 100))
def test_no_split_is_far_from_its_share(
    movies: dict[str, int], proportions: tuple[int, ...], seed: int
) -> None:
    sides = divide(movies, proportions, torch.Generator().manual_seed(seed))
    assert set(sides.values()) == {"train", "val", "test"}
    largest, total = max(movies.values()), sum(movies.values())
    for name, part in zip(("train", "val", "test"), proportions, strict=True):
        own = sum(n for movie, n in movies.items() if sides[movie] == name)
        only_movie = (
            sum(side == name for side in sides.values()) == 1
        )  # may have been given to fill the split
        assert only_movie or own - total * part / sum(proportions) <= 2 / 3 * largest + 1e-6


def test_the_papers_numbers() -> None:
    windows = windows_of(**{f"m{i}": 10 for i in range(79)})
    sizes = {name: len(own) for name, own in _split(windows, split="random").items()}
    assert sizes == {"train": 626, "val": 82, "test": 82}
    sizes = {name: len(own) for name, own in _split(windows, split="cross-movie").items()}
    assert sizes == {"train": 570, "val": 60, "test": 160}


def test_another_seed_is_another_split() -> None:
    windows = windows_of(**{f"m{i}": 2 for i in range(20)})
    for protocol in ("random", "cross-movie"):
        tests = {
            tuple(s.name for s in _split(windows, split=protocol, seed=seed)["test"]) for seed in range(5)
        }
        assert len(tests) == 5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 50))
def test_movies_under_two_ids_stay_together(seed: int) -> None:
    twins = [Window(clip_of(f"m{i}", movie=f"movie {i // 2}"), 0, 1) for i in range(12)]
    for own in _split(twins, split="cross-movie", seed=seed).values():
        movies = Counter(window.clip.movie for window in own)
        assert set(movies.values()) == {2}


def _by_manifest(*sides: str | None) -> list[Window]:
    """The persons of movies 1, 1, 2, 2, …"""
    return [
        Window(clip_of(f"m{i // 2}", f"p{i}", movie=f"m{i // 2}", split=side), 0, 1)
        for i, side in enumerate(sides)
    ]


def test_the_manifests_split_is_followed() -> None:
    splits = _split(_by_manifest("test", "train", "val", "train"), split="manifest")
    names = {side: [window.name for window in own] for side, own in splits.items()}
    assert names == {"train": ["m0/p1/0", "m1/p3/0"], "val": ["m1/p2/0"], "test": ["m0/p0/0"]}


def test_a_manifests_split_may_be_held_to_keep_movies_apart() -> None:
    apart = _by_manifest("test", "test", "val", "val", "train", "train")
    assert len(_split(apart, split="manifest", movies_apart=True)["val"]) == 2
    with pytest.raises(InputError) as caught:
        _split(_by_manifest("test", "test", "val", "train"), split="manifest", movies_apart=True)
    assert len(caught.value.problems) == 1
    message = str(caught.value)
    assert "manifest.csv, column split" in message and "got 'train: m1; val: m1'" in message
    # The same movie under two ids, one on each side.
    twins = [replace(s, clip=replace(s.clip, movie="m0")) for s in apart]
    with pytest.raises(InputError, match="test: m0; train: m2; val: m1"):
        _split(twins, split="manifest", movies_apart=True)


def test_a_person_without_a_split_is_named() -> None:
    with pytest.raises(InputError, match="none for m0/p1, m1/p2"):
        _split(_by_manifest("train", None, None, "test"), split="manifest")


def test_an_empty_split_is_named() -> None:
    with pytest.raises(InputError) as caught:
        _split(_by_manifest("train", "train"), split="manifest")
    assert [problem.expected for problem in caught.value.problems] == [
        "at least one sample in val", "at least one sample in test",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"none of the 9 samples \(split cross-movie\)'.*in val"):
        _split(windows_of(one=4, two=5), split="cross-movie", proportions=(1, 0.001, 1))


def _fold(root: Path, fold: int = 1, **config: object) -> dict[str, list[str]]:
    windows = windows_of(**{f"f{i:02d}": 2 for i in range(20)})
    splits = split_windows(windows, DataConfig(split="fold", fold=fold, **config), root)  # type: ignore[arg-type]
    return {name: sorted({window.clip.movie_id for window in own}) for name, own in splits.items()}


def test_a_fold_keeps_its_test_half_and_validates_on_training_movies(tmp_path: Path) -> None:
    sides = {f"f{i:02d}": "test" if i < 5 else "train" for i in range(18)}  # two movies are in no half
    write_folds({1: sides, 3: {"f00": "train", "f01": "train", "f02": "test"}}, tmp_path / "splits.csv")
    splits = _fold(tmp_path, validation_share=0.3)
    assert splits["test"] == [f"f{i:02d}" for i in range(5)]
    assert len(splits["val"]) == 4 and sorted(splits["train"] + splits["val"]) == list(sides)[5:]
    assert splits == _fold(tmp_path, validation_share=0.3)
    assert any(_fold(tmp_path, validation_share=0.3, seed=seed) != splits for seed in (1, 2, 3))
    assert _fold(tmp_path, 3)["test"] == ["f02"]
    with pytest.raises(InputError, match=r"column fold: got 2: expected one of the folds 1, 3"):
        _fold(tmp_path, 2)


def test_a_fold_that_is_not_there_or_can_not_validate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"splits\.csv, column fold: got 2: expected the folds of a data set"
    ):
        _fold(tmp_path, 2)
    write_folds({1: {"f00": "train", "f01": "test", "f02": "test"}}, tmp_path / "splits.csv")
    with pytest.raises(
        InputError, match="got '1: f00': expected at least two movies in the training half of fold 1"
    ):
        _fold(tmp_path)
    write_folds({1: {"f00": "train", "f03": "train", "f02": "test"}}, tmp_path / "splits.csv")
    assert {name: len(own) for name, own in _fold(tmp_path).items()} == {"train": 1, "val": 1, "test": 1}
    with pytest.raises(InputError, match=r"data\.validation_share: got 0\.9: .*one of the 2 movies"):
        _fold(tmp_path, validation_share=0.9)


def test_a_movie_on_both_sides_of_a_fold_is_refused(tmp_path: Path) -> None:
    write_folds({1: {"a": "train", "b": "test", "c": "train"}}, tmp_path / "splits.csv")
    windows = [Window(clip_of(name, movie="same" if name in "ab" else name), 0, 1) for name in "abc"]
    with pytest.raises(InputError, match="one split in fold 1 for movie same"):
        split_windows(windows, DataConfig(split="fold"), tmp_path)
