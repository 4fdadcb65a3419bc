"""Shards that are damaged or were made to harm: `verify` names them, training refuses them, a rerun redoes them.

What is redone are exactly the windows that are damaged; that an extraction does so is in
`test_damage_is_redone.py`.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from feature_folders import make_windows, same_window, write_parts
from hostile_shards import BAD_WINDOWS, NO_SHARDS, Damage
from toy_segmenter import toy_config
from training_folders import labelled_movie, write_training_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import read_part
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.shards.verify import verify
from rhas.train.data import Sample, load_dataset

MOVIES = [labelled_movie("m1"), labelled_movie("m2")]  # samples 0 to 40 in windows 0 to 4
WINDOWS = make_windows(MOVIES[0])
FLIPS, CUTS = 150, 40


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "features"
    write_training_folder(root, MOVIES, lossy=False)
    return root


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> FeaturesFolder:
    shutil.copytree(clean, tmp_path / "features")
    return FeaturesFolder(tmp_path / "features")


def problems(folder: FeaturesFolder) -> list[str]:
    """Those of movie m1; the other movie is as good as ever."""
    first, second = verify(folder.root)
    assert (first.movie_id, second.movie_id, second.problems) == ("m1", "m2", [])
    assert all("m1.h5" in problem for problem in first.problems)
    return first.problems


def learnt_from(root: Path) -> list[Sample]:
    """All that training reads."""
    splits = load_dataset(root, toy_config().data).splits
    return [samples[i] for samples in splits.values() for i in range(len(samples))]


def refused_by_training(folder: FeaturesFolder) -> bool:
    """Whether it names the shard. Raises what else it may end with."""
    try:
        learnt_from(folder.root)
    except InputError as error:
        assert [problem.file for problem in error.problems] == [folder.shard("m1")]
        return True
    return False


def mended(folder: FeaturesFolder) -> set[int]:
    """Redoes what isn't finished, as an extraction does; returns the windows that were kept."""
    finished = FinishedWindows(folder, MOVIES[0])
    kept = finished.indices()
    # The same movie may be listed twice: then what is one's is the other's.
    assert all(same_window(replace(finished.load(i), movie_id="m1"), WINDOWS[i]) for i in kept)
    write_parts(folder, {index: window for index, window in WINDOWS.items() if index not in kept})
    again = FinishedWindows(folder, MOVIES[0])
    write_shard(folder, MOVIES[0], again.load)
    again.remove_parts()
    assert problems(folder) == []
    return kept


@pytest.mark.parametrize("case", NO_SHARDS)
def test_what_is_no_shard_is_refused_by_everyone(folder: FeaturesFolder, case: str) -> None:
    damage, message = NO_SHARDS[case]
    damage(folder.shard("m1"))
    (found,) = problems(folder)
    assert re.search(message, found), found
    assert refused_by_training(folder)
    assert FinishedWindows(folder, MOVIES[0]).indices() == set()


@pytest.mark.parametrize("case", BAD_WINDOWS)
def test_bad_windows_are_named_and_only_they_are_redone(folder: FeaturesFolder, case: str) -> None:
    damage, message, good = BAD_WINDOWS[case]
    damage(folder.shard("m1"))
    found = problems(folder)
    assert any(re.search(message, problem) for problem in found), found
    refused_by_training(folder)
    assert mended(folder) == good


# --- flipped bits and cuts, wherever they fall


def flips(data: bytes, seed: int) -> Iterator[bytes]:
    """`data` with one bit flipped, at places drawn from all of it."""
    draw = random.Random(seed)
    for _ in range(FLIPS):
        at, bit = draw.randrange(len(data)), draw.randrange(8)
        yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    """Beginnings of `data`, of evenly spread lengths."""
    return (data[: len(data) * i // CUTS] for i in range(CUTS))


def same(samples: list[Sample], others: list[Sample]) -> bool:
    """Equal in all tensors."""
    pairs = zip(samples, others, strict=True)
    return all(
        torch.equal(value, vars(other)[name])
        if isinstance(value, torch.Tensor)
        else value == vars(other)[name]
        for sample, other in pairs
        for name, value in vars(sample).items()
    )


def test_flipped_bits_of_a_shard(folder: FeaturesFolder) -> None:
    path = folder.shard("m1")
    good, right = path.read_bytes(), learnt_from(folder.root)
    noticed = 0
    for number, bad in enumerate(flips(good, seed=1)):
        path.write_bytes(bad)
        named = bool(problems(folder))
        noticed += named
        if number % 4 == 0 and not refused_by_training(folder):
            assert same(learnt_from(folder.root), right)
        finished = FinishedWindows(folder, MOVIES[0])
        assert all(same_window(finished.load(index), WINDOWS[index]) for index in finished.indices())
        assert named or len(finished.indices()) == len(WINDOWS)  # what goes unnoticed does not matter
    assert noticed > FLIPS // 2  # the others fell on what is never read


def test_cut_shards(folder: FeaturesFolder) -> None:
    path = folder.shard("m1")
    for bad in cuts(path.read_bytes()):
        path.write_bytes(bad)
        assert problems(folder) and refused_by_training(folder)
        assert FinishedWindows(folder, MOVIES[0]).indices() == set()


@pytest.mark.parametrize("damaged", [lambda data: flips(data, seed=2), cuts])
def test_flipped_and_cut_parts(tmp_path: Path, damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """A part is read as it was written, or it is removed."""
    folder = FeaturesFolder(tmp_path)
    write_part(folder, WINDOWS[1])
    path = folder.part("m1", 1, WINDOWS[1].window_id)
    good, removed = path.read_bytes(), 0
    for bad in damaged(good):
        path.write_bytes(bad)
        finished = FinishedWindows(folder, MOVIES[0])
        if finished.indices():
            assert same_window(finished.load(1), WINDOWS[1])
        else:
            assert not path.exists()
            removed += 1
    assert removed > FLIPS // 2 or removed == CUTS


# --- parts that were made to harm


def part_without_rows(file: h5py.File) -> None:
    del file["persons/a"]


PARTS: dict[str, Damage] = {
    name: NO_SHARDS[name][0]
    for name in (
        "empty", "text", "zeros", "noise", "only the signature", "foreign", "no persons", "no status",
        "one more dataset", "one more series", "a loop", "signed status", "short status", "double features",
        "a group for a series", "a series for a group", "a huge number for a name", "a name of any length",
        "a soft link", "an external link", "external storage", "virtual", "no checksums", "gzip", "a plug-in",
        "features without end", "a chunk without end", "a text without end", "a person outside",
    )
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_what_is_no_part_is_redone(tmp_path: Path, case: str) -> None:
    folder = FeaturesFolder(tmp_path)
    write_parts(folder, {index: WINDOWS[index] for index in (0, 1)})
    path = folder.part("m1", 1, WINDOWS[1].window_id)
    PARTS[case](path)
    with pytest.raises(InputError) as refused:
        read_part(path)
    assert [problem.file for problem in refused.value.problems] == [path]
    assert FinishedWindows(folder, MOVIES[0]).indices() == {0}
    assert not path.exists()


def test_a_part_under_the_name_of_another_is_redone(tmp_path: Path) -> None:
    folder = FeaturesFolder(tmp_path)
    write_part(folder, WINDOWS[0])
    own, other = (folder.part("m1", index, WINDOWS[index].window_id) for index in (0, 1))
    shutil.copy(own, other)
    finished = FinishedWindows(folder, MOVIES[0])
    assert finished.indices() == {0} and not other.exists()


def test_a_shard_under_the_name_of_another_movie_is_not_learnt_from(folder: FeaturesFolder) -> None:
    """Its persons may have the same ids, sentences and times: features would go with another movie's labels."""
    shutil.copy(folder.shard("m2"), folder.shard("m1"))
    assert any("it is the shard of movie 'm2'" in problem for problem in problems(folder))
    with pytest.raises(InputError, match=r"m1\.h5: got 'm2': expected the shard of movie m1"):
        learnt_from(folder.root)
