"""The worker that probes movies and reads their windows, on a CPU."""

from __future__ import annotations

import time
from pathlib import Path

from rhas.extract.config import DecodeConfig
from rhas.extract.decode.index import MovieIndex, stored_index
from rhas.extract.decode.process import DecodeError, DecoderProcess
from rhas.extract.decode.sampling import Grid
from rhas.extract.decode.windows import WindowDecoder, WindowFrames
from rhas.extract.run.workers.tasks import ReadReport, WindowTask
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.shards.layout import FeaturesFolder


class DecodeWorker:
    """Probes movies and reads their windows."""

    def __init__(
        self,
        root: Path,
        config: DecodeConfig,
        lead_frames: int,
        deadline_s: float,
        decord: bool = False,
        cache: FileCache | None = None,
    ):
        self.folder = FeaturesFolder(root)
        self.config = config
        self.cache = cache or FileCache()
        self.process = DecoderProcess(
            deadline_s, deinterlace=config.deinterlace, decord=decord, cache=self.cache
        )
        self.decoder = WindowDecoder(self.process, lead_frames)
        self._last: tuple[Place, MovieIndex] | None = None

    def ready(self) -> None:
        """Answers once the worker is there."""

    def probe(self, movie_id: str, video: Place, following: Place | None = None) -> tuple[MovieIndex, Grid]:
        """The movie's index, made if there is none yet, and its samples. Raises DecodeError for what is no movie.

        `following`: a movie that this worker will be asked for later; from a store it is fetched from now on.
        """
        try:
            index = self._stored_index(movie_id, video) or self.process.index(video)
        finally:
            if isinstance(following, Remote):
                self.cache.prefetch(following)
        self._last = video, index
        return index, index.samples(self.config.fps, self.config.time_origin)

    def read(self, task: WindowTask) -> tuple[ReadReport, WindowFrames]:
        clock = time.perf_counter()
        index = self._index(task)
        window = self.decoder.read(task.video, index, task.source_frame, task.start, task.lead, task.size)
        ok = window.frames.ok[task.own]
        seconds = time.perf_counter() - clock
        report = ReadReport(int(ok.sum()), len(ok), window.frames.reason, window.frames.killed, seconds)
        return report, window if task.look is None or task.whole else window.thinned_out(task.look)

    def _index(self, task: WindowTask) -> MovieIndex:
        """The movie's index, kept while its windows are read. Raises DecodeError for a movie that has changed."""
        video = task.video
        if self._last is None or self._last[0] != video:
            # What another node has just written may not be seen yet: made again, it is the same.
            index = self._stored_index(task.movie_id, video) or self.process.index(video)
            self._last = video, index
        if self._last[1].facts.digest != task.digest:
            raise DecodeError("the file has changed since it was opened")
        return self._last[1]

    def _stored_index(self, movie_id: str, video: Place) -> MovieIndex | None:
        """Raises DecodeError for a movie that can't be asked for."""
        try:
            return stored_index(self.folder.index(movie_id), video)
        except OSError as error:
            raise DecodeError(error.strerror or str(error)) from None
