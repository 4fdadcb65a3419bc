"""A features folder in a store that speaks S3, and its mirror here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feature_folders import make_movie, write_folder
from object_store import BUCKET, SECRET, ObjectStore, object_store

from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.digest import file_key
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.stores import WrongBytes, facts_of, listing, upload, write_new
from rhas.manifests.shards import mirror as mirrors
from rhas.manifests.shards.mirror import Mirror, begun_for_writing, features_here, origin_of, push_back
from rhas.manifests.shards.verify import verify

FEATURES = Remote(f"s3://{BUCKET}/night/features/")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", 1 << 30)


@pytest.fixture
def there(store: ObjectStore, tmp_path: Path) -> Path:
    """What is in the store, as a folder that it was put there from; with what belongs into no store."""
    folder = write_folder(tmp_path / "made", [make_movie("a"), make_movie("ä b")])
    for name in store.names():
        store.client.delete_object(Bucket=BUCKET, Key=name)
    for path in folder.root.rglob("*"):
        if path.is_file():
            store.client.upload_file(str(path), BUCKET, f"night/features/{path.relative_to(folder.root)}")
    for name in ("lock", "parts/a/1.h5", "shards/.x.tmp"):
        store.client.put_object(Bucket=BUCKET, Key=f"night/features/{name}", Body=b"x")
    return folder.root


def files(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return {name: data for name, data in found.items() if not name.startswith(".mirror")}


def test_it_is_read_as_a_folder_and_only_what_changed_is_fetched_again(
    store: ObjectStore, there: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = features_here(FEATURES, cache)
    assert files(here) == files(there)
    assert [check.problems for check in verify(here)] == [[], []]
    assert origin_of(here) == FEATURES and origin_of(there) == there
    fetched: list[str] = []
    download = mirrors.download

    def noted(remote: Remote, *rest: Any) -> None:
        fetched.append(remote.name)
        download(remote, *rest)

    monkeypatch.setattr(mirrors, "download", noted)
    features_here(FEATURES, cache)
    assert fetched == []
    store.client.put_object(Bucket=BUCKET, Key="night/features/labels.csv", Body=b"new")
    store.client.delete_object(Bucket=BUCKET, Key="night/features/failures.csv")
    features_here(FEATURES, cache)
    assert fetched == ["labels.csv"] and (here / "labels.csv").read_bytes() == b"new"
    assert not (here / "failures.csv").exists()
    (here / "labels.csv").write_bytes(b"newer")
    monkeypatch.setenv("RHAS_CACHE", str(cache.folder))
    push_back(FEATURES, ["labels.csv", "none.csv"])
    assert store.read("night/features/labels.csv") == b"newer"


def test_what_is_no_features_folder_or_too_large(store: ObjectStore, there: Path, cache: FileCache) -> None:
    with pytest.raises(InputError, match=r"s3://bucket/none.*a features folder"):
        features_here(Remote(f"s3://{BUCKET}/none"), cache)
    with pytest.raises(InputError, match="RHAS_CACHE_GIB"):
        features_here(FEATURES, FileCache(cache.folder, 1000))
    with pytest.raises(InputError, match="which have listings"):
        features_here(Remote("https://host/features"), cache)


def test_what_is_written_is_in_the_store_and_known_by_its_key(
    store: ObjectStore, there: Path, cache: FileCache
) -> None:
    mirror = Mirror.of(FEATURES, "writing", cache)
    begun_for_writing(mirror)
    assert set(files(mirror.root)) == {name for name in files(there) if not name.startswith("shards/")}
    assert mirror.unsaid() == []
    assert mirror.key("shards/a.h5") == facts_of(FEATURES / "shards/a.h5").key
    (mirror.root / "failures.csv").write_bytes(b"changed")
    (mirror.root / "parts").mkdir()
    (mirror.root / "parts" / "x.h5").write_bytes(b"x")
    assert mirror.unsaid() == ["failures.csv"]
    mirror.push("failures.csv")
    assert mirror.unsaid() == [] and store.read("night/features/failures.csv") == b"changed"
    assert file_key(mirror.root / "failures.csv") == facts_of(FEATURES / "failures.csv").key
    mirror.bring("shards/a.h5")
    assert (mirror.root / "shards/a.h5").read_bytes() == (there / "shards/a.h5").read_bytes()


def test_work_of_another_extraction_is_not_mixed_in(
    store: ObjectStore, there: Path, cache: FileCache
) -> None:
    mirror = Mirror.of(FEATURES, "writing", cache)
    begun_for_writing(mirror)
    (mirror.root / "parts").mkdir()
    (mirror.root / "parts" / "x.h5").write_bytes(b"x")
    (mirror.root / "lock").write_bytes(b"")
    begun_for_writing(mirror)
    assert (mirror.root / "parts" / "x.h5").exists()
    config = (there / "config.json").read_text().replace('"extraction": "', '"extraction": "f')
    store.client.put_object(Bucket=BUCKET, Key="night/features/config.json", Body=config.encode())
    begun_for_writing(mirror)
    assert not (mirror.root / "parts" / "x.h5").exists() and (mirror.root / "lock").exists()
    (mirror.root / "failures.csv").unlink()
    mirror.remove_gone()
    assert "night/features/failures.csv" not in store.names()
    assert {"night/features/shards/a.h5", "night/features/manifest.csv"} <= set(store.names())


def test_the_first_one_writes_config_json(store: ObjectStore, cache: FileCache) -> None:
    remote = Remote(f"s3://{BUCKET}/first/config.json")
    assert write_new(b"one", remote)
    assert write_new(b"one", remote)  # the answer was lost, and it is sent again
    assert not write_new(b"two", remote)
    assert store.read("first/config.json") == b"one"


def test_bytes_that_the_store_has_otherwise_are_not_believed(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, remote = tmp_path / "a", Remote(f"s3://{BUCKET}/wrong/a")
    path.write_bytes(b"right")
    assert listing(Remote(f"s3://{BUCKET}/wrong")) == {}
    facts = upload(path, remote)
    assert (facts.size, facts.md5) == (5, "7c4f29407893c334a6cb7a87bf045c0d")  # printf right | md5sum
    cache = FileCache(tmp_path / "cache", 1000)
    with cache.local(remote) as fetched:
        assert fetched.read_bytes() == b"right"
        fetched.unlink()
    from rhas.manifests.common import cache as caches

    lying = facts.__class__(facts.size, facts.tag, md5="0" * 32)
    monkeypatch.setattr(caches, "facts_of", lambda remote: lying)
    with pytest.raises(WrongBytes, match="md5"), cache.local(remote):
        pass


def test_what_is_refused_is_told_without_secrets(store: ObjectStore, cache: FileCache) -> None:
    with pytest.raises(OSError) as caught:
        facts_of(Remote(f"s3://{BUCKET}/none"))
    assert isinstance(caught.value, FileNotFoundError) and SECRET not in f"{caught.value!r}"
    with pytest.raises(OSError, match="no-such-bucket"):
        upload(Path(__file__), Remote("s3://no-such-bucket/a"))
