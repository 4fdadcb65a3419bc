"""Who is meant by what a tool shows; ids may be any text."""

from __future__ import annotations

from pathlib import Path

from rhas.manifests.annotations.names import person_of, shown
from rhas.manifests.tables.manifest import Movie, Person


def test_whoever_is_shown_is_known_again_and_nobody_is_guessed() -> None:
    persons = [
        ("p1", "the man"),
        ("p1: x", "the woman"),
        ("p1:", "a child"),
        ("été 2", "the man"),
        ("p3", "y" * 300),
    ]
    movie = Movie("m", Path("m.mp4"), tuple(Person("m", *own) for own in persons))
    for person in movie.persons:
        assert (
            person_of(person.person_id, movie) == person_of(f" {shown(person)} ", movie) == person.person_id
        )
    assert person_of("p3: the tall man, as somebody wrote", movie) == "p3"
    assert person_of("p1: x: as somebody wrote", movie) is None  # of three ids
    assert person_of("p", movie) is None and person_of("", movie) is None
    twins = Movie("m", Path("m.mp4"), (Person("m", "p1", "x: y"), Person("m", "p1: x", "y")))
    assert person_of("p1: x: y", twins) is None
