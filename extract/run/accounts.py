"""The accounts of an extraction: which frames of which status, what failed and why, and the exit code.

Derived from the shards, so that accounts and shards can't disagree; only movies that could not be opened have
no shard to tell. `failures.csv` follows while movies finish, as often as that costs little, and is true at the end.
"""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rhas.extract.run.jobs import SELF_EXPLAINING
from rhas.extract.run.pool import COLOURS
from rhas.extract.run.progress import Progress
from rhas.extract.run.schedule import WriteFailed
from rhas.manifests.common.secrets import redacted
from rhas.manifests.shards.failures import Failure, movie_failure, write_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import FileKey, Finished, Ledger
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.tables.manifest import Manifest

log = logging.getLogger(__name__)

MAX_TRACEBACKS = 100
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
    idle: bool  # nothing was left to do, so no models were loaded


class Accounts:
    """What is known of every movie of a manifest: told by whoever looks at shards before the work, then by each that a
    run finishes."""

    def __init__(self, folder: FeaturesFolder, manifest: Manifest):
        self.folder = folder
        self.manifest = manifest
        self.ledger = Ledger(folder)
        self.unreadable: dict[str, tuple[str, str]] = {}  # movies not even tried: stage and reason
        self.video_keys: dict[str, FileKey] = {}  # of movies as they are read
        self._found: dict[str, Finished] = {}
        self._write_s = self._written_at = 0.0
        self._tracebacks = 0

    def note(self, finished: Finished) -> None:
        """What a movie's shard holds."""
        self._found[finished.movie_id] = finished

    def update(self, movie_id: str, found: Finished | None, progress: Progress) -> None:
        """Takes note of a movie that has just been sealed or given up, and of its shard. Raises WriteFailed."""
        before = self._failures(movie_id)
        if movie_id not in progress.failed_movies:
            self._found.pop(movie_id, None)
            if found is not None:
                self.note(replace(found, video=self.video_keys.get(movie_id)))
                self.ledger.add(self._found[movie_id])
        how = progress.failed_movies.get(movie_id)
        done = "done, but for what failures.csv has of it" if self._failures(movie_id) else "done"
        log.info("movie %s: %s", movie_id, f"failed, {how[0]}: {how[1]}" if how else done)
        if movie_id in progress.failed_movies or self._failures(movie_id) != before:
            self._write_soon(progress)

    def moved(self, movie_id: str) -> None:
        """Takes note that a movie's shard is another file than when it was sealed, with the same bytes."""
        if found := self._found.get(movie_id):
            self.note(found.moved(self.folder))
            self.ledger.add(self._found[movie_id])

    def keep_traceback(self, where: str, error: Exception) -> None:
        """Of an error whose one line in failures.csv doesn't say it all; the first ones of a run."""
        if type(error).__name__ in SELF_EXPLAINING or self._tracebacks == MAX_TRACEBACKS:
            return
        self._tracebacks += 1
        # What comes from a worker has its traceback there in a note.
        told = "\n".join(getattr(error, "__notes__", [])) or "".join(traceback.format_exception(error))
        with suppress(OSError), self.folder.tracebacks.open("a", encoding="utf-8") as file:
            file.write(
                f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {where}\n{redacted(COLOURS.sub('', told).strip())}\n"
            )

    def _failures(self, movie_id: str) -> list[Failure]:
        found = self._found.get(movie_id)
        return [] if found is None else found.failures

    def failures(self, progress: Progress) -> list[Failure]:
        """In the manifest's order. A movie that can't be opened any more keeps what its old shard tells."""
        found = []
        for movie in self.manifest.movies:
            if movie.movie_id in progress.failed_movies:
                found.append(movie_failure(movie.movie_id, *progress.failed_movies[movie.movie_id]))
            found += self._failures(movie.movie_id)
        return found

    def _write_soon(self, progress: Progress) -> None:
        """Written for each of many failures, the file would take their square: a twentieth of the time is for it."""
        if time.monotonic() - self._written_at >= 20 * self._write_s:
            self.write(progress)

    def write(self, progress: Progress) -> None:
        """Writes failures.csv. Raises WriteFailed."""
        began = time.monotonic()
        try:
            write_failures(self.folder.failures, self.failures(progress))
        except OSError as error:
            raise WriteFailed(f"{self.folder.failures}: {error.strerror}") from error
        self._written_at = time.monotonic()
        self._write_s = self._written_at - began

    def close(self, progress: Progress) -> None:
        """Writes what is true at the end. Raises WriteFailed."""
        self.write(progress)
        self.ledger.tidy()

    def summary(self, progress: Progress, report: dict[str, Any] | None, max_failure_rate: float) -> Summary:
        """Sums up. The failure rate is that of movies or that of frames, whichever is higher.

        `report`: None where nothing was left to do.
        """
        tally = Tally.sum(found.tally for found in self._found.values())
        failures = self.failures(progress)
        movies, failed = len(self.manifest.movies), len(progress.failed_movies)
        rate = max(failed / max(1, movies), tally.lost / max(1, tally.promised))
        too_many = EXIT_TOO_MANY_FAILED if rate > max_failure_rate else EXIT_SOME_FAILED
        code = too_many if failures else EXIT_DONE
        notes = {movie_id: found.notes for movie_id, found in self._found.items() if found.notes}
        skipped, idle = progress.now.movies_skipped, report is None
        return Summary(movies, failed, skipped, tally, failures, notes, report or {"frames": 0}, code, idle)
