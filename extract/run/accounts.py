"""The accounts of an extraction: which frames of which status, what failed and why, and the exit code.

Derived from the shards, so that accounts and shards can't disagree; only movies that could not be opened have
no shard to tell. `failures.csv` is kept true while movies finish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rhas.extract.run.progress import Progress
from rhas.extract.run.schedule import WriteFailed
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.interruption import check
from rhas.manifests.shards.failures import Failure, movie_failure, shard_failures, write_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.tables.manifest import Manifest

EXIT_DONE, EXIT_SOME_FAILED, EXIT_TOO_MANY_FAILED = 0, 3, 4


@dataclass(frozen=True)
class Summary:
    """What a features folder holds after a run, and how the run went."""

    movies: int
    movies_failed: int
    movies_skipped: int  # finished by earlier runs
    tally: Tally
    failures: list[Failure]
    notes: dict[str, list[str]]  # what is unusual about movies
    report: dict[str, Any]
    exit_code: int


class Accounts:
    """Looks at every shard once when it begins, and again at the shard of each movie that a run finishes."""

    def __init__(self, folder: FeaturesFolder, manifest: Manifest):
        self.folder = folder
        self.manifest = manifest
        self.unreadable: dict[str, tuple[str, str]] = {}  # movies not even tried: stage and reason
        self._tallies: dict[str, Tally] = {}
        self._failures: dict[str, list[Failure]] = {}
        self._notes: dict[str, list[str]] = {}
        for movie in manifest.movies:
            check()
            self._look(movie.movie_id)

    def _look(self, movie_id: str) -> None:
        self._tallies.pop(movie_id, None)
        self._failures.pop(movie_id, None)
        self._notes.pop(movie_id, None)
        path = self.folder.shard(movie_id)
        try:
            with Shard(path) as shard, reading(path, "a feature shard"):
                self._tallies[movie_id] = Tally.sum(
                    Tally.of(shard.person(p).status) for p in shard.person_ids
                )
                self._failures[movie_id] = shard_failures(shard)
                self._notes[movie_id] = shard.json("source").get("notes", [])
        except InputError:
            pass  # none yet, or damaged

    def update(self, movie_id: str, progress: Progress) -> None:
        """Takes note of a movie that has just been sealed or given up. Raises WriteFailed."""
        before = self._failures.get(movie_id, [])
        self._look(movie_id)
        if movie_id in progress.failed_movies or self._failures.get(movie_id, []) != before:
            self.write(progress)

    def failures(self, progress: Progress) -> list[Failure]:
        """In the manifest's order. A movie that can't be opened any more keeps what its old shard tells."""
        found = []
        for movie in self.manifest.movies:
            if movie.movie_id in progress.failed_movies:
                found.append(movie_failure(movie.movie_id, *progress.failed_movies[movie.movie_id]))
            found += self._failures.get(movie.movie_id, [])
        return found

    def write(self, progress: Progress) -> None:
        """Writes failures.csv. Raises WriteFailed."""
        try:
            write_failures(self.folder.failures, self.failures(progress))
        except OSError as error:
            raise WriteFailed(f"{self.folder.failures}: {error.strerror}") from error

    def summary(self, progress: Progress, report: dict[str, Any], max_failure_rate: float) -> Summary:
        """Sums up. The failure rate is that of movies or that of frames, whichever is higher."""
        tally = Tally.sum(self._tallies.values())
        failures = self.failures(progress)
        movies, failed = len(self.manifest.movies), len(progress.failed_movies)
        rate = max(failed / movies, tally.lost / max(1, tally.promised))
        too_many = EXIT_TOO_MANY_FAILED if rate > max_failure_rate else EXIT_SOME_FAILED
        code = too_many if failures else EXIT_DONE
        notes = {movie_id: own for movie_id, own in self._notes.items() if own}
        return Summary(movies, failed, progress.now.movies_skipped, tally, failures, notes, report, code)
