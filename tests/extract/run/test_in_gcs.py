"""An extraction of movies at gs:// into features at gs://, on a server on loopback that speaks GCS's JSON API."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from extractions import assert_same, problems, series
from gcs_store import BUCKET, GcsStore, gcs_store
from numbered_movies import regular, write_movie
from pool_here import extract_here

from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED
from rhas.manifests.common import lock, stores
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.store_lock import store_locked
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.mirror import features_here

HEAD = "movie_id,video,person_id,reference\n"


@pytest.fixture(scope="module")
def store() -> Iterator[GcsStore]:
    with gcs_store() as store:
        yield store


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_S", 0.1)
    monkeypatch.setattr(stores, "PAUSES_S", (0.01, 0.01, 0.01))


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for name, frames in {"b": 60, "c": 40}.items():
        write_movie(folder / f"{name}.mp4", regular(frames))
    (folder / "manifest.csv").write_text(
        f"{HEAD}b,b.mp4,p,the tall person\nb,b.mp4,q,the other\nc,c.mp4,p,the tall person\n"
    )
    return folder


def test_movies_and_features_are_where_they_are(store: GcsStore, movies: Path, tmp_path: Path) -> None:
    out, manifest = f"gs://{BUCKET}/night 1/ü", tmp_path / "manifest.csv"
    assert extract_here(movies / "manifest.csv", tmp_path / "disk", tmp_path).exit_code == EXIT_DONE
    for name in "bc":
        store.put(f"films/{name} ä.mp4", (movies / f"{name}.mp4").read_bytes())
    b = f"b,gs://{BUCKET}/films/b ä.mp4"
    rows = f"{HEAD}{b},p,the tall person\n{b},q,the other\n"
    manifest.write_text(rows)
    here, there = tmp_path / "here", tmp_path / "there"
    assert extract_here(manifest, out, here).exit_code == EXIT_DONE
    assert {name.removeprefix("night 1/ü/") for name in store.names("night 1/")} == {
        "config.json", "manifest.csv", "actions.csv", "failures.csv", "finished.jsonl", "report.json", "indexes/b.npz",
        "shards/b.h5",
    }  # fmt: skip
    before = store.generation("night 1/ü/shards/b.h5")
    manifest.write_text(
        f"{rows}c,gs://{BUCKET}/films/c ä.mp4,p,the tall person\nd,gs://{BUCKET}/none.mp4,p,x\n"
    )
    assert extract_here(manifest, out, there).exit_code == EXIT_SOME_FAILED  # on another machine
    assert store.generation("night 1/ü/shards/b.h5") == before
    assert extract_here(manifest, out, here).idle
    read = features_here(Remote(out), FileCache(tmp_path / "read"))
    assert [(failure.movie_id, failure.reason) for failure in read_failures(read / "failures.csv")] == [
        ("d", "no such file")
    ]
    assert_same(series(tmp_path / "disk"), series(read))
    assert [problem for problem in problems(read) if not problem.startswith("d: ")] == []
    store.put("films/c ä.mp4", (movies / "b.mp4").read_bytes())
    with pytest.raises(InputError, match="video was"):
        extract_here(manifest, out, here)


def test_a_large_file_goes_there_and_comes_back_in_parts(store: GcsStore, tmp_path: Path) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(
        bytes(range(256)) * (stores.BLOCK_BYTES // 256) + b"the end"
    )  # gcsfs sends 5 MiB and more apart
    remote = Remote(f"gs://{BUCKET}/large")
    facts = stores.upload(source, remote)
    store.asked.clear()
    stores.download(remote, facts, back)
    assert back.read_bytes() == source.read_bytes()
    assert len([line for line in store.asked if "alt=media" in line]) == 2


def test_one_at_a_time_writes_and_the_first_one_begins(
    store: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.2)
    remote = Remote(f"gs://{BUCKET}/first")
    assert stores.write_new(b"one", remote) and not stores.write_new(b"another", remote)
    assert stores.read_small(remote) == b"one" and stores.write_new(b"one", remote)
    with store_locked(Remote(f"gs://{BUCKET}/f/lock")):
        assert store.names("f/") == ["f/lock"]
        with pytest.raises(InputError, match="no other run"), store_locked(Remote(f"gs://{BUCKET}/f/lock")):
            pass
    assert store.names("f/") == []


def test_what_is_refused_is_told_at_once_and_what_fails_asked_again(
    store: GcsStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("there", b"x")
    for status in (401, 403):
        store.refusing = status
        store.asked.clear()
        with pytest.raises(PermissionError, match=r"refuses access.*GOOGLE_APPLICATION_CREDENTIALS"):
            stores.facts_of(Remote(f"gs://{BUCKET}/there"))
        assert len(store.asked) <= 3  # gcsfs looks for a folder of this name, too
    store.refusing = 0
    store.failing.append(503)
    assert stores.facts_of(Remote(f"gs://{BUCKET}/there")).size == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
