"""What earlier work on a film left behind: finished windows in parts and in an existing shard.

A window counts as finished when it carries the very id that it would get now, so nothing that was computed
with other settings is ever taken over. Damaged parts don't count, and are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.errors import InputError
from manifests.layout import FeaturesFolder
from manifests.reader import Shard
from manifests.shard import Film, Window, read_part


class FinishedWindows:
    """The finished windows of `film`. With `retry_failed`, windows with lost frames don't count."""

    def __init__(self, folder: FeaturesFolder, film: Film, retry_failed: bool = False):
        self.folder = folder
        self.film = film
        self.retry_failed = retry_failed
        planned = film.planned()
        self._rows: dict[int, dict[str, Any]] = {}  # of the existing shard's window table
        try:
            with Shard(folder.shard(film.movie_id)) as shard:
                for row in shard.windows():
                    index = int(row["index"])
                    if index in planned and row["id"] == film.window_id(index) and self._counts(row):
                        self._rows[index] = row
        except InputError:
            pass  # none yet, or one that can't be read: nothing to take from it
        self._parts = {index for index in planned if self._usable(self._part(index))}

    def indices(self) -> set[int]:
        return self._parts | set(self._rows)

    def load(self, index: int) -> Window:
        """Raises KeyError for a window that is not finished."""
        if index in self._parts:
            return read_part(self._part(index))
        with Shard(self.folder.shard(self.film.movie_id)) as shard:
            return shard.window(self._rows[index])

    def remove_parts(self) -> None:
        """Removes all parts of the film, also those of other settings."""
        parts = self.folder.parts(self.film.movie_id)
        for path in parts.glob("*"):
            path.unlink()
        for emptied in (parts, parts.parent):
            if emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()

    def _counts(self, row: dict[str, Any]) -> bool:
        return bool(row["done"]) and not (self.retry_failed and row["reason"])

    def _part(self, index: int) -> Path:
        return self.folder.part(self.film.movie_id, index, self.film.window_id(index))

    def _usable(self, path: Path) -> bool:
        if not path.exists():
            return False
        try:
            window = read_part(path)
        except (OSError, ValueError, KeyError):
            path.unlink()
            return False
        return not (self.retry_failed and window.reason)
