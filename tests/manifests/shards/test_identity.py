"""Content addresses: the same for the same, others for anything else that features depend on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from rhas.manifests.shards.identity import content_id, movie_identity, window_id
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.manifest import Person

MIB = 1 << 20
PERSONS = (Person("m1", "p1", "the man"), Person("m1", "p2", "the woman", 1.0, 2.0, "train"))


def test_content_id() -> None:
    assert content_id({"a": 1, "b": [1.5, None]}) == content_id({"b": (1.5, None), "a": 1})
    assert content_id({"a": 1}) != content_id({"a": 1.0}) != content_id({"a": "1"})
    # As `printf '{}' | b2sum -l 128` gives it: ids in folders of earlier runs must stay valid.
    assert content_id({}) == "2afb9b83f9314e5d029766197f539792"
    assert len(content_id("é")) == 32


def test_movie_identity() -> None:
    identity = movie_identity("e", "v", PERSONS)
    assert identity == {
        "extraction": "e",
        "video": "v",
        "persons": {"p1": ["the man", 0.0, None], "p2": ["the woman", 1.0, 2.0]},
    }
    assert movie_identity("e", "v", PERSONS[::-1]) == identity
    assert movie_identity("e", "v", (PERSONS[0], replace(PERSONS[1], split="test"))) == identity


def test_window_ids_depend_on_everything() -> None:
    def change(**fields: object) -> tuple[Person, ...]:
        return PERSONS[0], replace(PERSONS[1], **fields)  # type: ignore[arg-type]

    movies = [
        movie_identity("e", "v", PERSONS),
        movie_identity("f", "v", PERSONS),
        movie_identity("e", "w", PERSONS),
        movie_identity("e", "v", PERSONS[:1]),
        movie_identity("e", "v", change(person_id="p3")),
        movie_identity("e", "v", change(reference="the Woman")),
        movie_identity("e", "v", change(start_s=1.5)),
        movie_identity("e", "v", change(end_s=math.inf)),
    ]
    places = [(0, 8), (8, 16), (0, 7)]
    ids = {window_id(movie, *place) for movie in movies for place in places}
    assert len(ids) == len(movies) * len(places)
    assert window_id(movie_identity("e", "v", PERSONS[::-1]), 0, 8) == window_id(movies[0], 0, 8)


def test_layout() -> None:
    folder = FeaturesFolder(Path("f"))
    assert folder.shard("m.1") == Path("f/shards/m.1.h5")
    assert folder.part("m.1", 7, "abc") == Path("f/parts/m.1/000007-abc.h5")
    files = (folder.config, folder.manifest, folder.labels, folder.actions, folder.failures, folder.report)
    names = ["config.json", "manifest.csv", "labels.csv", "actions.csv", "failures.csv", "report.json"]
    assert [str(file) for file in (*files, folder.lock)] == [f"f/{name}" for name in (*names, "lock")]
