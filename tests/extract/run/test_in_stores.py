"""Whole extractions of movies in an object store and on a web server, into folders of a store; and several ranks at
once. All on loopback: moto speaks S3, the web server fails now and then."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from extractions import assert_same, problems, series
from numbered_movies import regular, write_movie
from object_store import BUCKET, KEY, SECRET, ObjectStore, object_store
from pool_here import extract_here
from web_server import WebServer, serving

from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED
from rhas.extract.run.schedule import WriteFailed
from rhas.manifests.common import lock, stores
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.mirror import features_here

PASSWORD, SIGNATURE = "the-password", "the-signature"
HEAD = "movie_id,video,person_id,reference\n"
PROGRAM = str(Path(__file__).parents[2] / "helpers" / "pool_here.py")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_S", 0.1)
    monkeypatch.setattr(stores, "PAUSES_S", (0.01, 0.01, 0.01))


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three movies of 60, 30 and 20 samples, and a manifest with their absolute paths."""
    folder = tmp_path_factory.mktemp("movies")
    for name, frames in {"a": 120, "b": 60, "c": 40}.items():
        write_movie(folder / f"{name}.mp4", regular(frames))
    (folder / "manifest.csv").write_text(
        f"{HEAD}a,{folder}/a.mp4,p,the tall person\na,{folder}/a.mp4,q,the person on the left\n"
        f"b,{folder}/b.mp4,p,the tall person\nc,{folder}/c.mp4,p,the tall person\n"
    )
    return folder


@pytest.fixture(scope="module")
def undisturbed(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("features")
    assert extract_here(movies / "manifest.csv", out, out / "cache").exit_code == EXIT_DONE
    return series(out)


def gets(server: WebServer) -> int:
    return sum(method == "GET" for method, *_ in server.asked)


def test_movies_are_fetched_where_they_are(
    store: ObjectStore, movies: Path, undisturbed: dict, tmp_path: Path
) -> None:
    store.client.upload_file(str(movies / "a.mp4"), BUCKET, "films/a 1.mp4")
    out, cache, manifest = tmp_path / "features", tmp_path / "cache", tmp_path / "manifest.csv"
    with serving(movies) as server:
        server.password = PASSWORD
        server.faults.extend(["500", "cut", ""])
        host = server.url.removeprefix("http://")
        at = f"http://me:{PASSWORD}@{host}"
        a = f"a,s3://{BUCKET}/films/a 1.mp4"
        manifest.write_text(
            f"{HEAD}{a},p,the tall person\n{a},q,the person on the left\n"
            f"b,{at}/b.mp4?sig={SIGNATURE},p,the tall person\n"
            f"c,file://{movies}/c.mp4,p,the tall person\nd,{at}/none.mp4?sig={SIGNATURE},p,x\n"
            f"e,s3://{BUCKET}/none.mp4,p,x\nf,http://me:{SECRET}@{host}/a.mp4,p,x\n"
        )
        first = extract_here(manifest, out, cache)
        assert first.exit_code == EXIT_SOME_FAILED and not first.idle and not server.faults
        times = gets(server)
        assert extract_here(manifest, out, cache).idle
        # Of those that can't be had one byte is asked for, where HEAD alone is refused.
        assert gets(server) - times <= 2
    assert_same(undisturbed, series(out))
    assert {f.movie_id: f.reason.partition(";")[0] for f in read_failures(out / "failures.csv")} == {
        "d": "no such file", "e": "no such file", "f": "the store refuses access",
    }  # fmt: skip
    told = "".join(path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file())
    assert not any(secret in told for secret in (PASSWORD, SIGNATURE, SECRET, KEY))
    assert f"{host}/b.mp4" in told and problems(out) == []


def test_each_movie_is_fetched_once(store: ObjectStore, movies: Path, tmp_path: Path) -> None:
    with serving(movies) as server:
        manifest = tmp_path / "manifest.csv"
        rows = (f"{name},{server.url}/{name}.mp4,p,the tall person\n" for name in "abc")
        manifest.write_text(HEAD + "".join(rows))
        summary = extract_here(manifest, tmp_path / "out", tmp_path / "cache", pause_s=0.2)
        assert summary.exit_code == EXIT_DONE
        fetched = [path for method, path, _ in server.asked if method == "GET"]
        assert sorted(fetched) == ["/a.mp4", "/b.mp4", "/c.mp4"]


def test_a_movie_that_changes_is_refused_as_on_a_disk(movies: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "c.mp4").write_bytes((movies / "c.mp4").read_bytes())
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    with serving(served) as server:
        manifest.write_text(f"{HEAD}c,{server.url}/c.mp4,p,the tall person\n")
        assert extract_here(manifest, out, tmp_path / "cache").exit_code == EXIT_DONE
        server.etags = False  # another key for the same bytes
        assert extract_here(manifest, out, tmp_path / "cache").idle
        server.etags = True
        (served / "c.mp4").write_bytes((movies / "b.mp4").read_bytes())
        with pytest.raises(InputError, match="video was"):
            extract_here(manifest, out, tmp_path / "cache")
        assert extract_here(manifest, out, tmp_path / "cache", update=True).exit_code == EXIT_DONE
    assert len(series(out)["c", "p", "time_s"]) == 30


def test_features_in_a_store_are_gone_on_with_from_anywhere(
    store: ObjectStore, movies: Path, undisturbed: dict, tmp_path: Path
) -> None:
    out, manifest = f"s3://{BUCKET}/night", tmp_path / "manifest.csv"
    rows = (movies / "manifest.csv").read_text().splitlines(keepends=True)
    manifest.write_text("".join(rows[:3]))
    here, there = tmp_path / "here", tmp_path / "there"
    assert extract_here(manifest, out, here).exit_code == EXIT_DONE
    assert {name.removeprefix("night/") for name in store.names("night/")} == {
        "config.json", "manifest.csv", "actions.csv", "failures.csv", "finished.jsonl", "report.json", "indexes/a.npz",
        "shards/a.h5",
    }  # fmt: skip
    assert not list(here.rglob("*.h5"))
    before = store.client.head_object(Bucket=BUCKET, Key="night/shards/a.h5")["LastModified"]
    manifest.write_text("".join(rows))
    assert extract_here(manifest, out, there).exit_code == EXIT_DONE  # on another machine
    assert store.client.head_object(Bucket=BUCKET, Key="night/shards/a.h5")["LastModified"] == before
    assert extract_here(manifest, out, here).idle and not list(here.rglob("*.h5"))
    assert extract_here(manifest, out, here, verify=True).idle
    read = features_here(Remote(out), FileCache(tmp_path / "read"))
    assert problems(read) == []
    assert_same(undisturbed, series(read))
    with pytest.raises(InputError, match=r"decode\.fps"):
        extract_here(manifest, out, here, "decode.fps=10")
    store.client.put_object(Bucket=BUCKET, Key="night/shards/b.h5", Body=b"damaged")
    assert extract_here(manifest, out, there).exit_code == EXIT_DONE
    assert problems(features_here(Remote(out), FileCache(tmp_path / "read"))) == []


def test_what_a_store_does_not_take_ends_the_run_and_the_next_one_uploads_it(
    store: ObjectStore, movies: Path, undisturbed: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rhas.manifests.shards import mirror

    out, upload = f"s3://{BUCKET}/late", mirror.upload

    def refuse(path: Path, remote: Remote) -> stores.Facts:
        if remote.name.endswith(".h5"):
            raise stores.StoreError(5, "the store answers with HTTP status 503", str(remote))
        return upload(path, remote)

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "upload", refuse)
        with pytest.raises(WriteFailed, match=r"s3://bucket/late/shards/.*503"):
            extract_here(movies / "manifest.csv", out, tmp_path)
    assert not store.names("late/shards") and not store.names("late/lock")
    assert extract_here(movies / "manifest.csv", out, tmp_path).exit_code == EXIT_DONE
    read = features_here(Remote(out), FileCache(tmp_path / "read"))
    assert_same(undisturbed, series(read))
    assert problems(read) == []


def begun(manifest: Path, out: str | Path, cache: Path, rank: int, of: int) -> subprocess.Popen[str]:
    command = [sys.executable, PROGRAM, str(manifest), str(out), str(cache), str(rank), str(of)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("where", [pytest.param("disk", marks=pytest.mark.long), "store"])
def test_two_ranks_at_once_of_which_one_is_killed(
    store: ObjectStore, movies: Path, undisturbed: dict, tmp_path: Path, where: str
) -> None:
    manifest, cache = movies / "manifest.csv", tmp_path / "cache"
    out: str | Path = tmp_path / "features" if where == "disk" else f"s3://{BUCKET}/ranks"

    def seen() -> Path:
        return out if isinstance(out, Path) else features_here(Remote(out), FileCache(tmp_path / "read"))

    ranks = [begun(manifest, out, cache, rank, 2) for rank in (0, 1)]
    until = time.monotonic() + 400
    while not list(tmp_path.glob("**/parts/a/[0-9]*.h5")):  # a, which takes most, is rank 0's
        assert time.monotonic() < until and ranks[0].poll() is None, (
            ranks[0].stdout.read() if ranks[0].stdout else ""
        )
        time.sleep(0.05)
    ranks[0].kill()
    ranks[0].communicate()
    told = ranks[1].communicate(timeout=400)[0]
    assert ranks[1].returncode == EXIT_DONE, told
    assert {path.stem for path in FeaturesFolder(seen()).shards.glob("[!.]*.h5")} == {"b", "c"}
    assert problems(seen()) and all("a: " in problem for problem in problems(seen()))
    assert extract_here(manifest, out, cache, rank=0, world_size=2).movies == 1
    assert problems(seen()) == []
    assert_same(undisturbed, series(seen()))
    folder = FeaturesFolder(seen())
    assert json.loads(folder.report.read_text())["ranks"] == 2
    done = [extract_here(manifest, out, cache, rank=rank, world_size=3) for rank in range(3)]
    assert all(summary.idle for summary in done) and sum(summary.movies for summary in done) == 3
    assert extract_here(manifest, out, cache).idle
    assert problems(seen()) == [] and not list(tmp_path.rglob(".*.h5.*.tmp"))
    assert not list(seen().rglob("share.json"))


def test_a_rank_without_movies_may_be_the_first(movies: Path, tmp_path: Path) -> None:
    out, manifest = tmp_path / "out", tmp_path / "manifest.csv"
    manifest.write_text(f"{HEAD}c,{movies}/c.mp4,p,the tall person\n")
    assert extract_here(manifest, out, out, rank=1, world_size=2).idle
    (out / "ranks" / "1-of-2" / "lock").unlink()
    assert extract_here(manifest, out, out, rank=0, world_size=2).exit_code == EXIT_DONE
    assert problems(out) == []


@pytest.mark.long
def test_what_fails_in_ranks_is_in_one_table(movies: Path, tmp_path: Path) -> None:
    out, manifest = tmp_path / "out", tmp_path / "manifest.csv"
    rows = [f"{name},{movies}/{name}.mp4,p,the tall person\n" for name in ("c", "none", "gone")]
    manifest.write_text(HEAD + "".join(rows))
    codes = [extract_here(manifest, out, out, rank=rank, world_size=2).exit_code for rank in (1, 0)]
    assert sorted(codes)[-1] >= EXIT_SOME_FAILED
    assert [f.movie_id for f in read_failures(out / "failures.csv")] == ["none", "gone"]
    assert problems(out) == []
    (movies / "none.mp4").write_bytes((movies / "c.mp4").read_bytes())
    try:
        for rank in range(3):
            extract_here(manifest, out, out, rank=rank, world_size=3)
    finally:
        (movies / "none.mp4").unlink()
    assert [f.movie_id for f in read_failures(out / "failures.csv")] == ["gone"]
    assert problems(out) == []
