"""Counts of a running extraction: what is done, what failed, where the time goes.

The scheduler reports events; a callback (the live display) gets a `Snapshot` a few times a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rhas.extract.run.workers import ModelReport
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.ledger import Finished

TICK_S = 0.25


@dataclass
class Snapshot:
    """The state of a run. Frames are samples of movies, whoever is referred to in them."""

    movies: int = 0
    movies_opened: int = 0  # by this run
    movies_done: int = 0  # sealed, by this run or an earlier one
    movies_skipped: int = 0  # finished by an earlier run
    movies_failed: int = 0
    windows: int = 0  # known so far: movies are opened as the run goes
    windows_done: int = 0
    windows_failed: int = 0
    frames: int = 0  # in the known windows that did not fail
    frames_done: int = 0
    elapsed_s: float = 0.0
    current: str = ""

    @property
    def frames_per_s(self) -> float:
        return self.frames_done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left, taking movies not opened yet to be like those that are. None before the first window."""
        if not self.frames_done or self.elapsed_s <= 0:
            return None
        movies = self.movies - self.movies_skipped - self.movies_failed
        expected = self.frames * max(1.0, movies / max(1, self.movies_opened))
        return (expected - self.frames_done) / self.frames_per_s


@dataclass
class Progress:
    """Collects events into a `Snapshot` and stage seconds."""

    callback: Callable[[Snapshot], None] | None = None
    # Called with each movie that is done or failed, and with what is known of its shard.
    on_movie: Callable[[str, Finished | None], None] | None = None
    now: Snapshot = field(default_factory=Snapshot)
    stages: dict[str, float] = field(
        default_factory=lambda: {"decode": 0.0, "ground": 0.0, "encode": 0.0, "write": 0.0}
    )
    model_frames: int = 0
    looked_frames: int = 0  # that the detector saw
    model_busy_s: float = 0.0
    model_cpu_s: float = 0.0
    failed_movies: dict[str, tuple[str, str]] = field(default_factory=dict)  # movie_id: stage, reason
    _started: float = field(default_factory=time.monotonic)
    _ticked: float = -TICK_S

    def start(self) -> None:
        """Starts the clock: models are loaded, work begins."""
        self._started = time.monotonic()

    def tick(self, force: bool = False) -> None:
        """Updates the clock, and tells the callback unless it was told just now."""
        now = time.monotonic()
        self.now.elapsed_s = now - self._started
        if self.callback and (force or now - self._ticked >= TICK_S):
            self._ticked = now
            self.callback(self.now)

    def stage(self, name: str, seconds: float) -> None:
        self.stages[name] += seconds

    def models(self, report: ModelReport) -> None:
        self.stages["ground"] += report.ground_s
        self.stages["encode"] += report.encode_s
        self.model_frames += report.frames
        self.looked_frames += report.looked
        self.model_busy_s += report.busy_s
        self.model_cpu_s += report.cpu_s

    def movie_opened(self, header: MovieHeader, todo: set[int]) -> None:
        bounds = header.bounds()
        self.now.movies_opened += 1
        self.now.windows += len(todo)
        self.now.frames += sum(bounds[i][1] - bounds[i][0] for i in todo)
        self.now.current = header.movie_id

    def window_done(self, header: MovieHeader, index: int) -> None:
        start, stop = header.bounds()[index]
        self.now.windows_done += 1
        self.now.frames_done += stop - start
        self.now.current = header.movie_id

    def window_failed(self, header: MovieHeader, index: int) -> None:
        start, stop = header.bounds()[index]
        self.now.windows_failed += 1
        self.now.frames -= stop - start

    def movie_done(self, header: MovieHeader, found: Finished | None = None) -> None:
        self.now.movies_done += 1
        if self.on_movie:
            self.on_movie(header.movie_id, found)

    def movie_failed(self, movie_id: str, stage: str, reason: str) -> None:
        self.now.movies_failed += 1
        self.failed_movies[movie_id] = (stage, reason)
        if self.on_movie:
            self.on_movie(movie_id, None)
