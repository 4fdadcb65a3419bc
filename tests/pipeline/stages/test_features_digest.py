"""What a pipeline knows a features folder by: the same however it is told; shards that are known aren't opened."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from feature_folders import make_movie, make_windows, write_folder

from rhas.manifests.shards.format import write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished, Ledger
from rhas.manifests.shards.reader import Shard
from rhas.pipeline.stages.kinds import digest


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return write_folder(tmp_path / "features", [make_movie("m1"), make_movie("m2", samples=24)])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards that are, from now on."""
    names: list[str] = []
    really = Shard.__init__

    def watched(self: Shard, path: Path, often: bool = False) -> None:
        names.append(path.stem)
        really(self, path, often)

    monkeypatch.setattr(Shard, "__init__", watched)
    return names


def test_shards_that_are_known_are_not_opened(folder: FeaturesFolder, opened: list[str]) -> None:
    told = digest(folder.root)
    assert told and opened == ["m1", "m2"]
    for name in opened[:]:
        Ledger(folder).add(Finished.of(folder.shard(name)))
    opened.clear()
    assert digest(folder.root) == told and opened == []
    os.utime(folder.shard("m1"))
    assert digest(folder.root) == told and opened == ["m1"]
    # As an earlier version wrote it.
    Ledger(folder).add(replace(Finished.of(folder.shard("m1")), windows=""))
    opened.clear()
    assert digest(folder.root) == told and opened == ["m1"]


def test_other_windows_tables_or_movies_are_another_folder(folder: FeaturesFolder) -> None:
    for name in ("m1", "m2"):
        Ledger(folder).add(Finished.of(folder.shard(name)))
    seen = {digest(folder.root)}
    header = make_movie("m1")
    write_shard(folder, header, make_windows(header, seed=1).__getitem__)
    seen.add(digest(folder.root))
    folder.labels.write_text("movie_id,person_id,action,start_s,end_s\nm1,p1,running,0,1\n")
    seen.add(digest(folder.root))
    folder.shard("m2").unlink()
    seen.add(digest(folder.root))
    assert len(seen) == 4
    folder.shard("m1").write_bytes(b"damaged")
    assert digest(folder.root) == ""
