"""What earlier work on a movie left behind: finished windows in parts and in an existing shard.

In: a features folder and a movie. Out: its finished windows (and those of pass one, where there are two), and on
request a folder without its parts. A window counts as finished when it carries the very id that it would get now, so
nothing that was computed with other settings is ever taken over. Damaged windows don't count, and damaged parts are
removed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import MovieHeader, Window, check_window
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard, read_part
from rhas.manifests.shards.seen import Seen, fits, part_of, read_seen
from rhas.manifests.shards.tracks import MovieTracks, of_movie, read_tracks


class FinishedWindows:
    """The finished windows of a movie. With `retry_failed`, windows with lost frames don't count.

    Every window is read once to see that it can be, so that sealing the movie later doesn't fail.
    """

    def __init__(self, folder: FeaturesFolder, header: MovieHeader, retry_failed: bool = False):
        self.folder = folder
        self.header = header
        self.retry_failed = retry_failed
        planned = header.planned()
        self._rows: dict[int, dict[str, Any]] = {}  # of the existing shard's window table
        with suppress(InputError), Shard(folder.shard(header.movie_id)) as shard:  # none yet, or not readable
            for row in shard.windows():
                if row["index"] in planned and self._kept(shard, row):
                    self._rows[row["index"]] = row
        self._parts = {index for index in planned if self._usable(index)}

    def indices(self) -> set[int]:
        return self._parts | set(self._rows)

    def load(self, index: int) -> Window:
        """Raises KeyError for a window that is not finished."""
        if index in self._parts:
            return read_part(self._part(index))
        row = self._rows[index]
        with Shard(self.folder.shard(self.header.movie_id)) as shard:
            return shard.window(row)

    def remove_parts(self) -> None:
        """Removes all parts of the movie, also those of other settings."""
        parts = self.folder.parts(self.header.movie_id)
        for path in parts.glob("*"):
            path.unlink()
        for emptied in (parts, parts.parent):
            with suppress(OSError):  # it isn't empty, or there
                emptied.rmdir()

    def _part(self, index: int) -> Path:
        return self.folder.part(self.header.movie_id, index, self.header.window_id(index))

    def _kept(self, shard: Shard, row: dict[str, Any]) -> bool:
        """Whether a window of the existing shard needs no work."""
        if row["id"] != self.header.window_id(row["index"]):
            return False
        try:
            return self._counts(row["index"], shard.window(row))
        except (InputError, ValueError):
            return False

    def _usable(self, index: int) -> bool:
        path = self._part(index)
        if not path.exists():
            return False
        try:
            return self._counts(index, read_part(path))
        except (InputError, ValueError):
            path.unlink()
            return False

    def _counts(self, index: int, window: Window) -> bool:
        """Raises ValueError for a window that is not this one of this movie's."""
        if window.index != index:  # a part under the name of another
            raise ValueError(f"window {window.index} in place of {index}")
        check_window(self.header, window)
        return window.done and not (self.retry_failed and window.reason)


class SeenWindows:
    """What pass one saw in a movie, in parts and in its tracks. Each is read once to see that it can be.

    With `retry_failed`, windows with lost frames don't count.
    """

    def __init__(self, folder: FeaturesFolder, header: MovieHeader, retry_failed: bool = False):
        self.folder, self.header = folder, header
        self.retry_failed = retry_failed
        self.tracks: MovieTracks | None = of_movie(read_tracks(folder.tracks(header.movie_id)), header)
        self._in_parts = {
            index
            for index in header.planned()
            if self._counts(index, read_seen(part_of(folder, header, index)))
        }
        made_of = self.tracks.seen if self.tracks is not None else {}
        self._in_tracks = {
            index: seen
            for index, seen in made_of.items()
            if index not in self._in_parts and self._counts(index, seen)
        }

    def indices(self) -> set[int]:
        return self._in_parts | self._in_tracks.keys()

    def whole(self) -> MovieTracks | None:
        """The tracks, if they are of all of the movie's windows as they are."""
        return self.tracks if self._in_tracks.keys() == self.header.planned().keys() else None

    def load(self, index: int) -> Seen:
        """Raises KeyError for a window that was not seen."""
        if index in self._in_parts:
            seen = read_seen(part_of(self.folder, self.header, index))
            if seen is None:
                raise KeyError(index)
            return seen
        return self._in_tracks[index]

    def _counts(self, index: int, seen: Seen | None) -> bool:
        return seen is not None and fits(self.header, seen, index) and not (self.retry_failed and seen.reason)
