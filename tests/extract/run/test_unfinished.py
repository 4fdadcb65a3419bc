"""What a rerun finds left to do: told from a line of each shard, and from the shards where these may have changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from feature_folders import make_movie, write_folder

from rhas.extract.config import RunOptions
from rhas.extract.run import unfinished
from rhas.extract.run.accounts import Accounts
from rhas.manifests.common.digest import file_digest, file_key
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Ledger
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.manifest import load_manifest, write_manifest
from rhas.pipeline.views.shards_table import print_verification

ODD = {
    "shard": [1, 2],
    "video": None,
    "identity": {},
    "tally": {},
    "failures": [],
    "notes": [],
    "lost": 0,
    "undone": 0,
}


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    """Two finished movies; only their bytes matter."""
    movies = []
    for name, samples in (("m1", 40), ("m2", 24)):
        video = tmp_path / f"{name}.mp4"
        video.write_text(name)
        header = make_movie(name, samples, video_id=file_digest(video))
        movies.append(replace(header, video=str(video)))
    return write_folder(tmp_path / "f", movies, lossy=False)


def left(folder: FeaturesFolder, verify: bool = False) -> list[str]:
    """The movies that a rerun would work on."""
    manifest = load_manifest(folder.manifest)
    todo = unfinished.unfinished(
        folder, manifest, read_config(folder), RunOptions(verify=verify), Accounts(folder, manifest)
    )
    return [movie.movie_id for movie in todo]


def read_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The movies whose shards are, from now on."""
    read: list[str] = []
    really = unfinished.shard_problems

    def watched(shard, movie, config):
        read.append(movie.movie_id)
        return really(shard, movie, config)

    monkeypatch.setattr(unfinished, "shard_problems", watched)
    return read


def damage_unseen(path: Path) -> None:
    """One bit of a feature; size and time stay."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-len(data) // 3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_shard_is_read_once_and_again_when_its_file_has_changed(
    folder: FeaturesFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_from_end_to_end(monkeypatch)
    assert left(folder) == [] and read == ["m1", "m2"]
    assert left(folder) == [] and read == ["m1", "m2"]
    os.utime(folder.shard("m2"))
    assert left(folder) == [] and read == ["m1", "m2", "m2"]
    assert left(folder, verify=True) == [] and read == ["m1", "m2", "m2", "m1", "m2"]
    lines = folder.finished.read_bytes()[:-9]  # cut by a kill; and what no run of ours writes
    odd = ["[1]", "null", "{}", json.dumps({"movie_id": "m1", **ODD})]
    folder.finished.write_bytes(lines + "\n".join(["", *odd]).encode())
    assert left(folder) == [] and read[5:] == ["m1", "m2"]
    folder.shard("m1").write_bytes(folder.shard("m1").read_bytes()[:-1])
    assert left(folder) == ["m1"]


def test_a_movie_that_changed_is_refused_and_one_that_was_touched_or_is_gone_is_not(
    folder: FeaturesFolder,
) -> None:
    first, second = (movie.video for movie in load_manifest(folder.manifest).movies)
    assert left(folder) == []
    os.utime(first)
    second.unlink()
    assert left(folder) == []
    first.write_text("other")
    with pytest.raises(InputError, match="movie m1: video was"):
        left(folder)
    folder.shard("m2").unlink()
    first.write_text("m1")
    assert left(folder) == [], "there is nothing to make the second one's shard of"


def test_a_file_that_is_no_movie_is_tried_once(folder: FeaturesFolder) -> None:
    """Until it changes, or is asked for."""
    movie = load_manifest(folder.manifest).movies[0]
    assert left(folder) == []
    folder.shard("m1").unlink()
    assert left(folder) == ["m1"]
    Ledger(folder).refuse("m1", file_key(movie.video), "no frame of the movie can be decoded")
    manifest = load_manifest(folder.manifest)
    books = Accounts(folder, manifest)
    assert unfinished.unfinished(folder, manifest, read_config(folder), RunOptions(), books) == []
    assert books.unreadable == {"m1": ("probe", "no frame of the movie can be decoded")}
    again = unfinished.unfinished(
        folder, manifest, read_config(folder), RunOptions(retry_failed=True), Accounts(folder, manifest)
    )
    assert [movie.movie_id for movie in again] == ["m1"]
    for _ in range(9):
        Ledger(folder).refuse("m1", file_key(movie.video), "no frame of the movie can be decoded")
    ledger = Ledger(folder)
    ledger.tidy()
    assert len(folder.finished.read_text().splitlines()) == 2 and left(folder) == []
    lines = folder.finished.read_text()
    folder.finished.write_text(lines.replace('"version": "', '"version": "9'))
    assert left(folder) == ["m1"], "another version may decode more"
    folder.finished.write_text(lines)
    movie.video.write_text("other")
    assert left(folder) == ["m1"]


def test_columns_that_mean_nothing_here_may_change(folder: FeaturesFolder) -> None:
    assert left(folder) == []
    manifest = load_manifest(folder.manifest)
    movies = [
        replace(movie, persons=tuple(replace(p, others=("CC0",)) for p in movie.persons))
        for movie in manifest.movies
    ]
    write_manifest(replace(manifest, movies=tuple(movies), others=("licence",)), folder.manifest)
    assert left(folder) == [] and left(folder, verify=True) == []


@pytest.mark.parametrize("found_by", ["--verify", "rhas verify"])
def test_damage_that_no_time_tells_of_is_redone_once_it_is_found(
    folder: FeaturesFolder, found_by: str
) -> None:
    assert left(folder) == []
    damage_unseen(folder.shard("m1"))
    assert left(folder) == []
    if found_by == "--verify":
        assert left(folder, verify=True) == ["m1"]
    else:
        assert print_verification(folder.root) == 1
    assert left(folder) == ["m1"], "forgotten"
