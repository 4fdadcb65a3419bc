"""Where things lie in a features folder.

features/
  config.json      what was extracted with what; a rerun with anything else is refused
  manifest.csv     snapshot of the manifest (labels.csv and actions.csv beside it, labels if given)
  splits.csv       folds of a data set that was imported, for cross-validation (see rhas.manifests.tables.folds)
  indexes/ID.npz   which frames a movie has, when each is shown and where it lies: made once, read by every decoder
  shards/ID.h5     one finished movie: the features of all its referred persons
  tracks/ID.npz    who is where in a movie and from what that follows, where persons are tracked
                   (see rhas.manifests.shards.tracks)
  people/ID.npz    everybody's tracks, with pictures, where everybody was looked for (see rhas.manifests.shards.people)
  parts/ID/*.h5    finished windows of movies in progress; gone once the movie's shard is there
  parts/ID/seen-*  what was seen in windows of movies whose tracks are still to be made
  parts/ID/people-*  pictures of everybody in finished windows of movies in progress
  finished.jsonl   what is known of finished shards without opening them (see rhas.manifests.shards.ledger)
  failures.csv     what could not be done, and why
  report.json      speed of the last run
  worker-error.txt traceback of a worker that could not begin, if one couldn't
  tracebacks.txt   those of windows and movies that failed in a way that its reason doesn't explain
  ranks/           what each of several runs has for itself that share this folder (see rhas.manifests.shards.ranks)
  lock             held by the run that writes here (see rhas.manifests.common.lock)
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rhas.manifests.common.digest import file_key
from rhas.manifests.common.names import file_name


def tracks_beside(shard: Path) -> Path:
    """Where the tracks of a shard's movie are, in the same features folder."""
    return shard.parent.parent / "tracks" / f"{shard.stem}.npz"


def people_beside(shard: Path) -> Path:
    """Where everybody's tracks of a shard's movie are."""
    return shard.parent.parent / "people" / f"{shard.stem}.npz"


class Elsewhere(Protocol):
    """Where shards are that are not in the folder, such as an object store; names are paths in the folder."""

    def key(self, name: str) -> tuple[int, int] | None: ...

    def bring(self, name: str) -> None: ...


@dataclass(frozen=True)
class FeaturesFolder:
    """Paths below a features folder. ID stands for a movie's id as `rhas.manifests.common.names` writes it."""

    root: Path
    elsewhere: Elsewhere | None = field(default=None, kw_only=True, compare=False, repr=False)

    def check_root(self) -> None:
        """Where a file system was lost, folders could be made anew, under it. Raises OSError."""
        if not self.root.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the features folder is gone", str(self.root))

    @property
    def in_use(self) -> bool:
        """Whether an extraction was here, or is: a run's, or a rank's, however far it came."""
        return any(path.exists() for path in (self.config, self.lock, self.ranks))

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.csv"

    @property
    def labels(self) -> Path:
        return self.root / "labels.csv"

    @property
    def actions(self) -> Path:
        return self.root / "actions.csv"

    @property
    def folds(self) -> Path:
        return self.root / "splits.csv"

    @property
    def failures(self) -> Path:
        return self.root / "failures.csv"

    @property
    def finished(self) -> Path:
        return self.root / "finished.jsonl"

    @property
    def report(self) -> Path:
        return self.root / "report.json"

    @property
    def tracebacks(self) -> Path:
        return self.root / "tracebacks.txt"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def ranks(self) -> Path:
        return self.root / "ranks"

    def index(self, movie_id: str) -> Path:
        return self.root / "indexes" / f"{file_name(movie_id)}.npz"

    def tracks(self, movie_id: str) -> Path:
        return self.root / "tracks" / f"{file_name(movie_id)}.npz"

    def people(self, movie_id: str) -> Path:
        return self.root / "people" / f"{file_name(movie_id)}.npz"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    def shard(self, movie_id: str) -> Path:
        return self.shards / f"{file_name(movie_id)}.h5"

    def shard_key(self, movie_id: str) -> tuple[int, int]:
        """The key of a movie's shard, here or elsewhere. Raises FileNotFoundError without one."""
        path = self.shard(movie_id)
        key = None
        if self.elsewhere is not None and not path.exists():
            key = self.elsewhere.key(f"{self.shards.name}/{path.name}")
        return file_key(path) if key is None else key

    def has_shard(self, movie_id: str) -> bool:
        """Whether a movie has one, here or elsewhere."""
        with suppress(OSError):
            return bool(self.shard_key(movie_id))
        return False

    def bring(self, movie_id: str) -> None:
        """A movie's shard is here then, if there is one. Raises OSError."""
        if self.elsewhere is not None and not self.shard(movie_id).exists():
            self.elsewhere.bring(f"{self.shards.name}/{self.shard(movie_id).name}")

    def parts(self, movie_id: str) -> Path:
        return self.root / "parts" / file_name(movie_id)

    def part(self, movie_id: str, index: int, window_id: str) -> Path:
        return self.parts(movie_id) / f"{index:06d}-{window_id}.h5"
