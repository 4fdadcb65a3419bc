"""Where an extraction's features go: a folder here, or one in an object store that they are uploaded to.

In: a path or an address. Out: an `Output`, with the folder here that is written to, and what is to be done when a movie
is sealed, when small files have changed, and at the end. Nothing of it is done for a folder here. Uploads run beside
the work, so many at most; a shard leaves this machine when the store has it, and is known by its listing from then on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rhas.extract.config import RunOptions
from rhas.extract.run.accounts import Accounts
from rhas.extract.run.schedule import WriteFailed
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.common.store_lock import store_locked
from rhas.manifests.common.stores import listing
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.mirror import Mirror, begun_for_writing
from rhas.manifests.shards.ranks import Rank, RankFolder

UPLOADS, WAITING = 2, 8  # at once; and shards that wait for it on this machine
SAID_EVERY_S = 60.0  # small files, while the work goes on

log = logging.getLogger(__name__)


class Output:
    """A folder on this machine: whatever is written is where it belongs."""

    def __init__(self, folder: FeaturesFolder):
        self.folder = folder

    def config_written(self) -> bool:
        """After config.json was made; False if somebody else's is there by now."""
        return True

    def sealed(self, movie_id: str, books: Accounts) -> None:
        """After a movie's shard was written and accounted for. Raises WriteFailed, Interrupted."""

    def said(self) -> None:
        """After small files were written. Raises WriteFailed."""

    def finish(self, books: Accounts) -> None:
        """At the end, before the accounts are closed: all shards are where they belong. Raises WriteFailed."""

    def refresh(self) -> bool:
        """Looks again at what other ranks say; whether that has changed."""
        return False

    def abandon(self) -> None:
        """Where the run ends before its end."""


class StoreOutput(Output):
    """A folder of a store, written through its mirror."""

    def __init__(self, folder: FeaturesFolder, mirror: Mirror):
        super().__init__(folder)
        self.mirror = mirror
        self._threads = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        self._uploads: dict[Future[None], str] = {}  # with the movie
        self._said_at = time.monotonic()
        self._own = str(folder.rank) if isinstance(folder, RankFolder) else ""

    def config_written(self) -> bool:
        with _told():
            return self.mirror.is_same("config.json") or self.mirror.push_new("config.json")

    def sealed(self, movie_id: str, books: Accounts) -> None:
        if not self.folder.shard(movie_id).exists():
            return  # it failed as a whole
        self._uploads[self._threads.submit(self._push, movie_id)] = movie_id
        self._collect(books, WAITING)
        if time.monotonic() - self._said_at > SAID_EVERY_S:
            self.said()

    def _push(self, movie_id: str) -> None:
        """A movie's tracks, and everybody's, if it has any, then its shard."""
        for path in (self.folder.tracks(movie_id), self.folder.people(movie_id), self.folder.shard(movie_id)):
            name = path.relative_to(self.folder.root).as_posix()
            if path.exists() and not self.mirror.is_same(name):
                self.mirror.push(name)

    def said(self) -> None:
        alone = not isinstance(self.folder, RankFolder)
        others = () if alone else [f"ranks/{own.name}/" for own in self.folder.ranks.glob("*-of-*")]
        others = [name for name in others if not name.endswith(f"/{self._own}/")]
        with _told():
            for name in self.mirror.unsaid():
                if not name.startswith(tuple(others)):  # which may say more by now than is known here
                    self.mirror.push(name)
            if alone:
                self.mirror.remove_gone()
        self._said_at = time.monotonic()

    def finish(self, books: Accounts) -> None:
        self._collect(books, 0)
        for movie in books.manifest.movies:  # those too that a run before this one left here
            path = self.folder.shard(movie.movie_id)
            if path.exists():
                with _told():
                    self._push(movie.movie_id)
                    books.moved(movie.movie_id)
                    path.unlink()

    def refresh(self) -> bool:
        with _told():
            before = {name: self.mirror.key(name) for name in self.mirror.stored}
            self.mirror.look()
            changed = [
                name
                for name in self.mirror.stored
                if name.startswith("ranks/") and self.mirror.key(name) != before.get(name)
            ]
            self.mirror.bring_all(changed)
        return bool(changed)

    def abandon(self) -> None:
        """What is on its way arrives; what is whole here and waits is uploaded by the next run on this machine."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        with suppress(WriteFailed):
            self.said()

    def _collect(self, books: Accounts, most: int) -> None:
        """Waits until so many uploads are left; of what has arrived the accounts know, and it leaves this machine."""
        while self._uploads:
            done, left = wait(self._uploads, timeout=0 if len(self._uploads) <= most else 0.25)
            for upload in done:
                movie_id = self._uploads.pop(upload)
                with _told():
                    upload.result()
                    books.moved(movie_id)
                    self.folder.shard(movie_id).unlink()
            if len(left) <= most:
                return
            check()


def cache_of(options: RunOptions) -> FileCache:
    """Where an extraction fetches to."""
    return FileCache(None if options.cache is None else Path(options.cache), options.cache_bytes)


@contextmanager
def opened_output(out: Place, options: RunOptions) -> Iterator[Output]:
    """The output, alone in its folder as far as a store can tell. Raises InputError, WriteFailed."""
    rank = (
        None if options.rank is None or options.world_size is None else Rank(options.rank, options.world_size)
    )
    if isinstance(out, Path):
        yield Output(_folder(out, rank, None))
        return
    with _told():
        use = "writing" if rank is None else f"writing-{rank}"
        mirror = Mirror.of(out, use, cache_of(options))
    own = out / ("lock" if rank is None else f"ranks/{rank}/lock")
    with ExitStack() as held:
        with _told():
            held.enter_context(store_locked(own, lambda: _other_locks(out, own, rank)))
            begun_for_writing(mirror)
        output = StoreOutput(_folder(mirror.root, rank, mirror), mirror)
        try:
            yield output
        except BaseException:
            output.abandon()
            raise


def _other_locks(out: Remote, own: Remote, rank: Rank | None) -> list[Remote]:
    """Those that nobody may hold: of runs that share the folder out otherwise, or not at all."""
    names = [n for n in listing(out) if n == "lock" or (n.startswith("ranks/") and n.endswith("/lock"))]
    if rank is not None:
        names = [name for name in names if not name.endswith(f"-of-{rank.of}/lock")]
    return [out / name for name in names if (out / name) != own]


def _folder(root: Path, rank: Rank | None, mirror: Mirror | None) -> FeaturesFolder:
    return (
        FeaturesFolder(root, elsewhere=mirror)
        if rank is None
        else RankFolder(root, elsewhere=mirror, rank=rank)
    )


@contextmanager
def _told() -> Iterator[None]:
    """What a store can't do ends the run as a disk that is full does."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise WriteFailed(f"{where}{error.strerror or error}") from None
