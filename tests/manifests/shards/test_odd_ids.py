"""Ids of any text through a features folder: written, read, verified and shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie, make_window, write_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import write_part
from rhas.manifests.shards.reader import FeaturesReader, read_part
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.manifest import Person
from rhas.pipeline.views.shards_table import print_shards, print_verification

MOVIE = "../Amélie [/red] :cat:"
PERSONS = ("p/1", "..", "[bold]", "夜")


def test_they_are_kept_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    persons = tuple(Person(MOVIE, person_id, "the man [/b]") for person_id in PERSONS)
    movie = make_movie(MOVIE, samples=16, persons=persons)
    folder = write_folder(tmp_path / "f", [movie], lossy=False)
    assert [path.parent for path in tmp_path.rglob("*.h5")] == [folder.shards]
    reader = FeaturesReader(folder.root)
    assert reader.movie_ids == [MOVIE]
    with reader.shard(MOVIE) as shard:
        assert sorted(shard.person_ids) == sorted(PERSONS)
    assert np.isfinite(reader.person(MOVIE, "p/1").time_s).all()
    write_part(folder, make_window(movie, 0))
    assert set(read_part(folder.part(MOVIE, 0, movie.window_id(0))).persons) == set(PERSONS)
    assert [(check.movie_id, check.problems) for check in verify(folder.root)] == [(MOVIE, [])]
    assert print_verification(folder.root) == 0
    print_shards(folder.root)
    shown = capsys.readouterr().out
    assert all(text in shown for text in (*PERSONS, MOVIE, "the man [/b]"))


def test_a_file_that_no_movie_can_have_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", [make_movie("m1", samples=8)])
    stray = folder.shards / "copy of m1.h5"
    stray.touch()
    with pytest.raises(InputError, match=r"copy of m1\.h5: expected the shard of a movie"):
        _ = FeaturesReader(folder.root).movie_ids
    assert any(str(stray) in problem for check in verify(folder.root) for problem in check.problems)
