"""The worker that writes: parts, and shards of movies whose windows are done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.added import AddedWindow, seal_added, write_added
from rhas.manifests.shards.format import MovieHeader, Window, failed_window, write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished
from rhas.manifests.shards.people import gather, with_everybody
from rhas.manifests.shards.pictures import write_pictures
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.shards.seen import Seen, write_seen
from rhas.manifests.shards.tracks import read_tracks


class WriteWorker:
    """Writes parts and shards of one features folder."""

    def __init__(self, root: Path):
        self.folder = FeaturesFolder(root)

    def write(self, window: Window | Seen | AddedWindow) -> float:
        """Stores a part. Seconds it took. Raises OSError for a disk that is full or gone."""
        clock = time.perf_counter()
        self.folder.check_root()
        if isinstance(window, Seen):
            write_seen(self.folder, window)
        elif isinstance(window, AddedWindow):
            write_added(self.folder, window)
        else:
            if window.people is not None:  # first: a finished window has its pictures
                write_pictures(self.folder, window.movie_id, window.index, window.people)
            write_part(self.folder, window)
        return time.perf_counter() - clock

    def seal(
        self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]
    ) -> tuple[float, Finished | None]:
        """Builds the movie's shard from its parts and from what an earlier shard holds; removes the parts.

        `failed` maps windows that could not be computed to stage and reason; what an earlier run had of them
        stays. Raises KeyError for a window of which there is nothing. Returns the seconds it took, and what is known of
        the shard by reading it again: nothing if it is damaged as soon as it was written.
        """
        clock = time.perf_counter()
        self.folder.check_root()
        kept = FinishedWindows(self.folder, header)
        finished = kept.indices()

        def load(index: int) -> Window:
            if index in finished:
                return kept.load(index)
            return failed_window(header, index, *failed[index])

        if with_everybody(header.config) and (tracks := read_tracks(self.folder.tracks(header.movie_id))):
            gather(self.folder, header, tracks.seen)
        write_shard(self.folder, header, load)
        kept.remove_parts()
        return time.perf_counter() - clock, self._known(header.movie_id)

    def seal_added(
        self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]
    ) -> tuple[float, Finished | None]:
        """The same of a movie in which somebody is new."""
        clock = time.perf_counter()
        self.folder.check_root()
        seal_added(self.folder, header, failed)
        return time.perf_counter() - clock, self._known(header.movie_id)

    def _known(self, movie_id: str) -> Finished | None:
        with suppress(InputError):
            return Finished.of(self.folder.shard(movie_id))
        return None
