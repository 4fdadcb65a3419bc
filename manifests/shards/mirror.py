"""A features folder in an object store (s3://, gs://), and its mirror on this machine.

In: an address. Out: a folder here. To read, all of it is fetched, and kept; later what has changed is fetched. To
write, files are whole here before they are uploaded, shards leave this machine again, and what the store has of them is
known by its listing. A file here that is as in the store has the time that stands for its tag (`Facts.key`), so what
`file_key` says tells them apart. Parts, locks and temporary files stay here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rhas.manifests.common.cache import GIB, FileCache
from rhas.manifests.common.digest import file_key
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import STORES, Place, Remote, place
from rhas.manifests.common.stores import Facts, download, facts_of, listing, remove, upload, write_new
from rhas.manifests.shards.layout import FeaturesFolder

ORIGIN = ".mirror.json"  # in a mirror: of which address
AT_ONCE = 4  # files on their way


@dataclass
class Mirror:
    """`stored` is what the store has, by name in the folder."""

    remote: Remote
    root: Path
    stored: dict[str, Facts] = field(default_factory=dict)

    @classmethod
    def of(cls, remote: Remote, use: str, cache: FileCache | None = None) -> Mirror:
        """`use`: reading, writing or a rank's writing, which don't disturb each other.

        Raises InputError for what has no listings.
        """
        if remote.scheme not in STORES:
            expected = (
                "a folder here, or at s3:// or gs://, which have listings; over https only movies are read"
            )
            raise InputError(Problem(str(remote), expected))
        name = hashlib.blake2b(remote.url.rstrip("/").encode(), digest_size=16).hexdigest()
        root = (cache or FileCache()).root() / use / name
        root.mkdir(parents=True, exist_ok=True)
        return cls(remote, root)

    def look(self) -> None:
        """Asks the store what it has."""
        self.stored = {name: facts for name, facts in listing(self.remote).items() if _is_kept(name)}

    def key(self, name: str) -> tuple[int, int] | None:
        """Of a file in the store, None where there is none."""
        return self.stored[name].key if name in self.stored else None

    def is_same(self, name: str) -> bool:
        """Whether a file here is as in the store."""
        with suppress(OSError):
            return file_key(self.root / name) == self.key(name)
        return False

    def bring(self, name: str) -> None:
        """Fetches a file of the store, unless it is here as it is there."""
        if name in self.stored and not self.is_same(name):
            remote, path = self.remote / name, self.root / name
            facts = facts_of(remote)  # a listing tells fewer checksums
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                download(remote, facts, part)
                os.utime(part, ns=(time.time_ns(), facts.key[1]))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            self.stored[name] = facts

    def bring_all(self, names: Iterable[str]) -> None:
        """The same of many at a time."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self.bring, list(names)):
                pass

    def push(self, name: str) -> None:
        """Uploads a file as it is now. What changes meanwhile counts as not yet uploaded."""
        path = self.root / name
        before = file_key(path)
        facts = upload(path, self.remote / name)
        self.stored[name] = facts
        if file_key(path) == before:
            os.utime(path, ns=(time.time_ns(), facts.key[1]))

    def push_new(self, name: str) -> bool:
        """Uploads a file that the store hasn't yet; False if it has another by now, which is here then."""
        done = write_new((self.root / name).read_bytes(), self.remote / name)
        self.stored[name] = facts_of(self.remote / name)
        if not done:
            self.bring(name)
        return done

    def remove_gone(self) -> None:
        """Removes from the store what is no longer here, of what is always here."""
        for name in [name for name in list(self.stored) if _is_always_here(name)]:  # uploads go on beside it
            if not (self.root / name).exists():
                remove(self.remote / name)
                del self.stored[name]

    def unsaid(self) -> list[str]:
        """Files here, but shards, that aren't in the store as they are."""
        found = (
            path.relative_to(self.root).as_posix() for path in sorted(self.root.rglob("*")) if path.is_file()
        )
        return [n for n in found if _is_kept(n) and not n.startswith("shards/") and not self.is_same(n)]


def features_here(features: Place, cache: FileCache | None = None) -> Path:
    """A features folder to read: a path as it is; one in a store is fetched first, into a mirror.

    Raises InputError for what is no features folder, or larger than the cache may be.
    """
    if isinstance(features, Path):
        if not FeaturesFolder(features).config.is_file():
            expected = "a features folder written by `rhas extract` (config.json is not there)"
            raise InputError(Problem(features, expected))
        return features
    cache = cache or FileCache()
    mirror = Mirror.of(features, "reading", cache)
    with _alone(mirror.root):
        mirror.look()
        if "config.json" not in mirror.stored:
            raise InputError(Problem(str(features), "a features folder written by `rhas extract`"))
        size, bound = sum(facts.size for facts in mirror.stored.values()), cache.bound()
        if size > bound:
            expected = (
                f"at most {bound / 2**30:.1f} GiB, what may be kept here ({GIB}); it has {size / 2**30:.1f}"
            )
            raise InputError(Problem(str(features), expected))
        for path in [path for path in mirror.root.rglob("*") if path.is_file()]:
            name = path.relative_to(mirror.root).as_posix()
            if name not in mirror.stored and not name.startswith(".mirror"):
                path.unlink()
        mirror.bring_all(mirror.stored)
        (mirror.root / ORIGIN).write_text(json.dumps({"url": str(features)}))
    return mirror.root


def push_back(features: Place, names: Iterable[str]) -> None:
    """Uploads files that were changed in the mirror of a folder that was read; of a path nothing has to be done."""
    if isinstance(features, Remote):
        mirror = Mirror.of(features, "reading")
        for name in names:
            if (mirror.root / name).is_file():
                mirror.push(name)


def origin_of(features: Path) -> Place:
    """Of which address a folder is the mirror; without one the folder itself."""
    try:
        return place(str(json.loads((features / ORIGIN).read_text())["url"]))
    except (OSError, ValueError, LookupError, TypeError):
        return features.absolute()


def begun_for_writing(mirror: Mirror) -> None:
    """What the store has but shards and indexes is here then; work of another extraction that is left here goes."""
    mirror.look()
    ours = FeaturesFolder(mirror.root).config
    before = ours.read_bytes() if ours.exists() else b""
    small = [name for name in mirror.stored if _is_always_here(name)]
    mirror.bring_all(name for name in small if name == "config.json")
    after = ours.read_bytes() if "config.json" in mirror.stored else b""
    if _extraction(before) != _extraction(after):
        for path in [path for path in mirror.root.rglob("*") if path.is_file() and path.name != "lock"]:
            if path != ours or not after:
                path.unlink()
    mirror.bring_all(small)


def _extraction(config: bytes) -> str:
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(config)["extraction"])
    return ""


def _is_always_here(name: str) -> bool:
    """Of what the store has: shards and indexes may be too many."""
    return not name.startswith(("shards/", "indexes/"))


def _is_kept(name: str) -> bool:
    """Whether a file belongs into the store: what locks, is unfinished or hidden doesn't."""
    parts = name.split("/")
    return parts[0] != "parts" and parts[-1] != "lock" and not any(part.startswith(".") for part in parts)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    descriptor = os.open(root / ".mirror.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
