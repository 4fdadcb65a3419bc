"""The worker that makes a movie's tracks of what was seen in its windows, on a CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from rhas.extract.config import ExtractConfig
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.resume import SeenWindows
from rhas.manifests.shards.seen import remove_seen
from rhas.manifests.shards.tracks import MovieTracks, write_tracks


class LinkWorker:
    """Makes a movie's tracks of what was seen in its windows, on a CPU."""

    def __init__(self, root: Path, config: ExtractConfig):
        self.folder = FeaturesFolder(root)
        self.config = config

    def ready(self) -> None:
        """Answers once the worker is there."""

    def link(self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]) -> tuple[float, MovieTracks]:
        """Seconds it took, and the tracks, which are stored. `failed`: windows of which nothing could be seen."""
        from rhas.extract.tracks.everybody import kept_people
        from rhas.extract.tracks.link import link

        clock = time.perf_counter()
        self.folder.check_root()
        seen = SeenWindows(self.folder, header)
        tracks = link(
            header, {i: seen.load(i) for i in header.planned() if i not in failed}, failed, self.config
        )
        if self.config.tracks.everybody is not None:  # first: who has tracks has everybody's
            kept_people(self.folder, header, tracks, self.config)
        write_tracks(self.folder, header.movie_id, tracks)
        remove_seen(self.folder, header.movie_id)
        return time.perf_counter() - clock, tracks
