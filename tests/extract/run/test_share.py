"""Who works on what: every movie once, the same for whoever asks, and about as much for each rank."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.extract.run.share import share_of, split
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.ranks import Rank, RankFolder
from rhas.manifests.tables.manifest import Manifest, Movie, Person

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 10**9), max_size=30)


@given(WEIGHTS, st.integers(1, 9))
def test_every_movie_is_once_and_nobody_has_much_more(weights: dict[str, int], of: int) -> None:
    shares = split(weights, of)
    assert len(shares) == of and sorted(m for share in shares for m in share) == sorted(weights)
    loads = [sum(weights[movie] for movie in share) for share in shares]
    # Graham: what the fullest has without its last movie, everyone has at least; so it is below mean + heaviest.
    assert max(loads) <= sum(weights.values()) / of + max(weights.values(), default=0)
    assert split(dict(reversed(weights.items())), of) == shares


def test_the_best_known_example() -> None:
    assert split({"a": 7, "b": 6, "c": 5, "d": 5, "e": 4, "f": 3}, 3) == [["a", "f"], ["b", "e"], ["c", "d"]]


def manifest(folder: Path, sizes: dict[str, int]) -> Manifest:
    movies = []
    for name, size in sizes.items():
        if size:
            (folder / name).write_bytes(bytes(size))
        persons = tuple(Person(name, f"p{i}", "x") for i in range(2 if name == "two" else 1))
        movies.append(Movie(name, folder / name, persons))
    return Manifest(folder / "manifest.csv", tuple(movies))


def names(folder: Path, given: Manifest, of: int) -> list[list[str]]:
    return [
        [movie.movie_id for movie in share_of(RankFolder(folder / "out", rank=Rank(i, of)), given).movies]
        for i in range(of)
    ]


def test_shares_go_by_size_and_persons_and_stay_as_they_were(tmp_path: Path) -> None:
    given = manifest(tmp_path, {"two": 1000, "b": 1500, "c": 900, "none": 0})
    shares = names(tmp_path, given, 2)
    assert shares == [["two", "none"], ["b", "c"]]  # 2000 + little, 1500 + 900
    (tmp_path / "none").write_bytes(bytes(10**6))  # it comes after the first rank has looked
    assert names(tmp_path, given, 2) == shares
    assert names(tmp_path, given, 3) != shares
    assert names(tmp_path, given, 9)[8] == []


def test_a_split_that_was_damaged_is_told(tmp_path: Path) -> None:
    given = manifest(tmp_path, {"a": 10, "b": 10})
    names(tmp_path, given, 2)
    (path,) = (tmp_path / "out" / "ranks").glob("split-*.json")
    path.write_text('[["a"], ["a"]]')
    with pytest.raises(InputError, match="each movie of the manifest once"):
        names(tmp_path, given, 2)
    path.write_text("[")
    with pytest.raises(InputError, match="the movies of each rank"):
        names(tmp_path, given, 2)
