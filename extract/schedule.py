"""The extraction's scheduler: films to spans, spans to windows, windows through decoders, models, writer.

Everything is bounded. A decoder reads one window at a time and waits while decoded frames in flight would
exceed the memory budget; a model worker has one window at work and one waiting; few films are open at once.
A window that loses a worker is tried again, then recorded as failed; a bad film never stops the others.
The scheduler knows workers only through `Pool`, and writes nothing itself.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from extract.config import ExtractConfig, RunOptions
from extract.pool import Pool, WorkerLost
from extract.progress import Progress
from extract.workers import ModelReport, ReadReport, WindowTask, window_task
from manifests.errors import RhasError
from manifests.manifest import Movie
from manifests.shard import Film

log = logging.getLogger(__name__)

WINDOWS_PER_MODEL = 2  # one at work, one waiting: the model never waits for the transfer
HOPELESS_AFTER = 3  # windows in a row that killed the decoder without giving a frame
POLL_S = 0.25


@dataclass
class OpenFilm:
    """A film being worked on. `todo` windows are not yet written or failed."""

    movie: Movie
    film: Film
    todo: set[int]
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)  # window: stage and reason
    fruitless: int = 0  # windows in a row that killed the decoder and gave nothing
    gave_up: str = ""


@dataclass
class Job:
    """A window on its way, with what it holds."""

    film: OpenFilm
    task: WindowTask
    attempts: int = 0
    read: ReadReport | None = None
    frames: Any = None  # ticket of the decoded frames


@dataclass
class Span:
    """Consecutive windows of a film for one decoder."""

    film: OpenFilm
    jobs: deque[Job]


@dataclass
class Pending:
    """What a ticket stands for: who works on it and what happens when it is done."""

    worker: Any
    done: Callable[[Any], None]
    lost: Callable[[str], None]
    failed: Callable[[Exception], None]


class Scheduler:
    """Runs films through a pool. `open_film` turns a probed movie into a film and its unfinished windows."""

    def __init__(
        self,
        pool: Pool,
        config: ExtractConfig,
        options: RunOptions,
        progress: Progress,
        open_film: Callable[[Movie, Any, Any], tuple[Film, set[int]]],
    ):
        self.pool = pool
        self.config = config
        self.options = options
        self.progress = progress
        self.open_film = open_film
        self.movies: deque[tuple[Movie, int]] = deque()  # with the number of attempts
        self.spans: deque[Span] = deque()
        self.again: deque[Job] = deque()  # windows to read once more
        self.decoded: deque[Job] = deque()
        self.pending: dict[Any, Pending] = {}
        self.at_work: dict[Any, Span | None] = {}  # decoders and the spans they are in
        self.load: dict[Any, int] = dict.fromkeys(pool.models, 0)
        self.bytes_in_flight = 0
        self.open_films = 0
        self.idle_decoders: deque[Any] = deque(pool.decoders)
        self.spans_of: dict[Any, Span] = {}

    def run(self, movies: Iterator[Movie]) -> None:
        """Works until every movie is sealed or recorded as failed."""
        self.movies.extend((movie, 0) for movie in movies)
        while True:
            self._feed_decoders()
            self._feed_models()
            if not self.pending:
                break
            for ticket in self.pool.wait(list(self.pending), POLL_S):
                self._settle(ticket)
            self.progress.tick()

    def _settle(self, ticket: Any) -> None:
        pending = self.pending.pop(ticket)
        try:
            result = self.pool.result(ticket)
        except WorkerLost as error:
            pending.lost(str(error))
        except Exception as error:  # noqa: BLE001  whatever a worker raises concerns its item only
            pending.failed(error)
        else:
            pending.done(result)

    # --- decoding

    def _feed_decoders(self) -> None:
        for _ in range(len(self.idle_decoders)):
            decoder = self.idle_decoders.popleft()
            if not self._give_work(decoder):
                self.idle_decoders.append(decoder)

    def _give_work(self, decoder: Any) -> bool:
        span = self.spans_of.get(decoder)
        if span is None or not span.jobs:
            span = self._next_span()
            if span is None:
                return self._probe_next(decoder)
            self.spans_of[decoder] = span
        job = span.jobs[0]
        if self.bytes_in_flight and self.bytes_in_flight + job.task.frame_bytes > self.options.memory_bytes:
            return False
        span.jobs.popleft()
        self._read(decoder, job)
        return True

    def _next_span(self) -> Span | None:
        if self.again:
            job = self.again.popleft()
            return Span(job.film, deque([job]))
        return self.spans.popleft() if self.spans else None

    def _probe_next(self, decoder: Any) -> bool:
        """Opens the next film unless enough films are open to keep every decoder busy."""
        if not self.movies or self.open_films >= 2 * len(self.pool.decoders):
            return False
        movie, attempts = self.movies.popleft()
        self.open_films += 1

        def done(result: tuple[Any, Any]) -> None:
            self.idle_decoders.append(decoder)
            film, todo = self.open_film(movie, *result)
            opened = OpenFilm(movie, film, set(todo))
            self._make_spans(opened)
            self.progress.film_opened(film, opened.todo)
            if not opened.todo:
                self._seal(opened)

        def lost(reason: str) -> None:
            self.idle_decoders.append(decoder)
            self.open_films -= 1
            if attempts + 1 < self.options.attempts:
                self.movies.append((movie, attempts + 1))
            else:
                self.progress.film_failed(movie, "probe", reason)

        def failed(error: Exception) -> None:
            self.idle_decoders.append(decoder)
            self.open_films -= 1
            self.progress.film_failed(movie, "probe", _message(error))

        self._start(self.pool.call(decoder, "probe", movie.video), decoder, done, lost, failed)
        return True

    def _make_spans(self, opened: OpenFilm) -> None:
        planned = opened.film.planned()
        detector = self.config.detector
        jobs: deque[Job] = deque()
        for index in sorted(opened.todo):
            # One caption for everyone must hold everyone, also in windows without some of them.
            persons = opened.film.persons if detector.joint else planned[index]
            task = window_task(
                opened.film, index, persons, detector.carry_frames, self.config.decode.short_side
            )
            gap = jobs and jobs[-1].task.index != index - 1
            if gap or len(jobs) == self.options.span_windows:
                self.spans.append(Span(opened, jobs))
                jobs = deque()
            jobs.append(Job(opened, task))
        if jobs:
            self.spans.append(Span(opened, jobs))

    def _read(self, decoder: Any, job: Job) -> None:
        if job.film.gave_up:
            self.idle_decoders.append(decoder)
            self._fail(job, "decode", job.film.gave_up)
            return
        self.bytes_in_flight += job.task.frame_bytes
        report, job.frames = self.pool.call_two(decoder, "read", job.task)

        def done(result: ReadReport) -> None:
            self.idle_decoders.append(decoder)
            job.read = result
            self.progress.stage("decode", result.seconds)
            film = job.film
            film.fruitless = film.fruitless + 1 if result.killed and not result.ok else 0
            if film.fruitless >= HOPELESS_AFTER:
                film.gave_up = (
                    f"gave up after {HOPELESS_AFTER} windows in a row without a frame: {result.reason}"
                )
            self.decoded.append(job)

        def lost(reason: str) -> None:
            self.idle_decoders.append(decoder)
            self._retry(job, "decode", reason)

        def failed(error: Exception) -> None:
            self.idle_decoders.append(decoder)
            self._release(job)
            self._fail(job, "decode", _message(error))

        self._start(report, decoder, done, lost, failed)

    # --- models

    def _feed_models(self) -> None:
        while self.decoded:
            worker = min(self.load, key=lambda w: self.load[w])
            if self.load[worker] >= WINDOWS_PER_MODEL:
                return
            self._encode(worker, self.decoded.popleft())

    def _encode(self, worker: Any, job: Job) -> None:
        self.load[worker] += 1
        report, window = self.pool.call_two(worker, "encode", job.task, job.read, job.frames)

        def done(result: ModelReport) -> None:
            self.load[worker] -= 1
            self._release(job)
            self.progress.models(result)
            self._write(job, window)

        def lost(reason: str) -> None:
            self.load[worker] -= 1
            self._retry(job, "model", reason)

        def failed(error: Exception) -> None:
            self.load[worker] -= 1
            self._release(job)
            self._fail(job, "model", _message(error))

        self._start(report, worker, done, lost, failed)

    # --- writing

    def _write(self, job: Job, window: Any) -> None:
        def done(seconds: float) -> None:
            self.progress.stage("write", seconds)
            self.progress.window_done(job.film.film, job.task.index, job.read)
            self._finish(job)

        def lost(reason: str) -> None:
            self._retry(job, "write", reason)

        def failed(error: Exception) -> None:
            # A disk that is full or gone concerns every window: stop, so that a rerun can go on from here.
            raise WriteFailed(_message(error)) from error

        self._start(self.pool.call(self.pool.writer, "write", window), self.pool.writer, done, lost, failed)

    def _seal(self, opened: OpenFilm, attempts: int = 0) -> None:
        def done(seconds: float) -> None:
            self.progress.stage("write", seconds)
            self.open_films -= 1
            self.progress.film_done(opened.film, opened.failed)

        def lost(reason: str) -> None:
            if attempts + 1 >= self.options.attempts:
                raise WriteFailed(reason)
            self._seal(opened, attempts + 1)

        def failed(error: Exception) -> None:
            raise WriteFailed(_message(error)) from error

        ticket = self.pool.call(self.pool.writer, "seal", opened.film, opened.failed)
        self._start(ticket, self.pool.writer, done, lost, failed)

    # --- outcomes

    def _start(
        self,
        ticket: Any,
        worker: Any,
        done: Callable[[Any], None],
        lost: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.pending[ticket] = Pending(worker, done, lost, failed)

    def _release(self, job: Job) -> None:
        if job.frames is not None:
            self.bytes_in_flight -= job.task.frame_bytes
            job.frames = None

    def _retry(self, job: Job, stage: str, reason: str) -> None:
        self._release(job)
        job.attempts += 1
        if job.attempts < self.options.attempts:
            log.warning("%s window %d: %s, trying again", job.task.movie_id, job.task.index, reason)
            self.again.append(job)
        else:
            self._fail(job, stage, f"{reason} ({job.attempts} attempts)")

    def _fail(self, job: Job, stage: str, reason: str) -> None:
        job.film.failed[job.task.index] = (stage, reason)
        self.progress.window_failed(job.film.film, job.task.index, stage, reason)
        self._finish(job)

    def _finish(self, job: Job) -> None:
        job.film.todo.discard(job.task.index)
        if not job.film.todo:
            self._seal(job.film)


class WriteFailed(RhasError):
    """The features folder can't be written; the message says why."""


def _message(error: Exception) -> str:
    """An error in one line: its kind, unless the message alone says it, and its first line."""
    cause = getattr(error, "cause", None)
    error = cause if isinstance(cause, Exception) else error
    lines = str(error).strip().splitlines() or [""]
    return (
        lines[-1][:500]
        if type(error).__name__ in ("DecodeError", "FeatureError")
        else f"{type(error).__name__}: {lines[0][:500]}"
    )
