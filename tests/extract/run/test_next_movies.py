"""Which movie a decoder has next: what was promised to it, or what is left; each once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rhas.extract.run.next_movies import NextMovies
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.tables.manifest import Movie


def movie(name: str, remote: bool = True) -> Movie:
    video: Place = Remote(f"s3://bucket/{name}") if remote else Path(f"/movies/{name}")
    return Movie(name, video, ())


def waiting(*movies: Movie) -> NextMovies:
    found = NextMovies()
    found.extend((one, 0) for one in movies)
    return found


def test_a_decoder_gets_what_it_was_told_to_fetch() -> None:
    left = waiting(*map(movie, "abcde"))
    assert left.take("d0") == (movie("a"), 0, (Remote("s3://bucket/b"),))
    assert left.take("d1") == (movie("c"), 0, (Remote("s3://bucket/d"),))
    assert left.take("d1") == (movie("d"), 0, (Remote("s3://bucket/e"),))
    assert left.take("d0") == (movie("b"), 0, ())
    assert left.take("d0") == (movie("e"), 0, ())  # promised to d1, which is busy
    assert not left
    with pytest.raises(IndexError):
        left.take("d1")


def test_movies_on_this_machine_are_not_promised() -> None:
    left = waiting(movie("a", False), movie("b", False), movie("c"))
    assert left.take("d0") == (movie("a", False), 0, ())
    assert left.take("d0") == (movie("b", False), 0, (Remote("s3://bucket/c"),))


def test_every_movie_is_taken_once() -> None:
    drawn = random.Random(0)
    for _ in range(50):
        names = [str(number) for number in range(drawn.randint(0, 9))]
        left = waiting(*(movie(name, drawn.random() < 0.7) for name in names))
        taken = []
        while left:
            taken.append(left.take(drawn.choice("xyz"))[0].movie_id)
            if drawn.random() < 0.1:
                left.append((movie(again := f"again {len(taken)}"), 1))
                names.append(again)
        assert sorted(taken) == sorted(names)
