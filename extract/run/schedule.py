"""The extraction's scheduler: movies to passes, spans, and windows, and these through decoders, models, writer.

Everything is bounded. A decoder reads one window at a time and waits while enough of them wait for a model, or while
decoded frames in flight would exceed the memory budget; a model worker has one window at work and one waiting, and
gets none while the writer is behind; few movies are open at once. A window that loses a worker is tried again, then
recorded as failed; a bad movie never stops the others. A worker gets work once it has said that it is there, and
after a loss once it has said so again: on a node that is gone, that may be never, and the others go on without it. A
movie may take several passes (`jobs.Pass`), one after the other; to the scheduler they differ in nothing but whom to
call. Left to others: workers (known only as a `Pool`), files.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rhas.extract.config import ExtractConfig, RunOptions
from rhas.extract.decode.process import NoMovie
from rhas.extract.run.jobs import Job, MovieJob, Span, one_line, spans_of
from rhas.extract.run.next_movies import NextMovies
from rhas.extract.run.pool import POLL_S, Pauses, Pool, WorkerLost, WorkerUnfit, refuse
from rhas.extract.run.progress import Progress
from rhas.extract.run.workers import ModelReport, ReadReport
from rhas.manifests.common.errors import RhasError
from rhas.manifests.common.interruption import check
from rhas.manifests.tables.manifest import Movie

log = logging.getLogger(__name__)

WINDOWS_PER_MODEL = 2  # one at work, one waiting: the model never waits for the transfer
READ_AHEAD_PER_MODEL = 2  # decoded windows waiting: more would take memory and save no time
UNWRITTEN_PER_MODEL = 2  # finished windows waiting for the writer, on average over the model workers
MOVIES_PER_DECODER = 2  # open at once
SHARED_FROM = 4  # windows left in a span of which an idle decoder may take half


class NobodyThere(RhasError):
    """All workers are gone and none came back; what is finished is kept, the same command goes on from it."""


class WriteFailed(RhasError):
    """The features folder can't be written; the message says why."""


@dataclass
class Pending:
    """What happens when a ticket is done."""

    done: Callable[[Any], None]
    lost: Callable[[str], None]
    failed: Callable[[Exception], None]


class Scheduler:
    """Runs movies through a pool. `open_movie` turns a probed movie into its first pass.

    `welcome` is called with what each model worker says of itself when it joins, and may refuse it by raising; `keep`
    with what raised and where, for each movie and window that fails by an error; `refuse_file` with a movie's id, its
    file's key and the reason where these bytes are no movie.
    """

    def __init__(
        self,
        pool: Pool,
        config: ExtractConfig,
        options: RunOptions,
        progress: Progress,
        open_movie: Callable[[Movie, Any, Any], MovieJob],
        welcome: Callable[[Any], None] = lambda described: None,
        keep: Callable[[str, Exception], None] = lambda where, error: None,
        refuse_file: Callable[[str, tuple[int, int], str], None] = lambda movie_id, file, reason: None,
    ):
        self.pool = pool
        self.config = config
        self.options = options
        self.progress = progress
        self.open_movie = open_movie
        self.welcome = welcome
        self.keep = keep
        self.refuse_file = refuse_file
        self.movies = NextMovies()
        self.spans: deque[Span] = deque()
        self.again: deque[Job] = deque()  # windows to read once more
        self.decoded: deque[Job] = deque()
        self.pending: dict[Any, Pending] = {}
        self.idle: deque[Any] = deque()
        self.there: list[Any] = []  # model workers that have said so
        self.awaited: set[Any] = set()  # tickets of workers that haven't
        self.pauses = Pauses()
        self.later: list[tuple[float, Callable[[], None]]] = []  # when workers that were lost are asked again
        self.span_of: dict[Any, Span] = {decoder: deque() for decoder in pool.decoders}
        self.load: dict[Any, int] = dict.fromkeys(pool.models, 0)
        self.unwritten = self.bytes_in_flight = self.open_movies = 0

    def run(self, movies: Iterator[Movie]) -> None:
        """Works until every movie is sealed or recorded as failed. Raises WriteFailed, NobodyThere, Interrupted."""
        self.movies.extend((movie, 0) for movie in movies)
        for decoder in self.pool.decoders:
            self._await_decoder(decoder)
        for model in self.pool.models:
            self._await_model(model)
        worked = time.monotonic()
        while self.movies or self.open_movies:
            check()
            self._ask_again()
            self._feed_models()  # first: what they take lets decoders read ahead
            self._feed_decoders()
            for ticket in self.pool.wait(list(self.pending), POLL_S):
                self._settle(ticket)
            if self.pending.keys() - self.awaited:
                worked = time.monotonic()
            elif time.monotonic() - worked > self.options.patience_s:
                raise NobodyThere(f"no worker for {self.options.patience_s:.0f} s; a rerun goes on from here")
            self.progress.tick()
        assert not (self.spans or self.again or self.decoded)

    def _settle(self, ticket: Any) -> None:
        pending = self.pending.pop(ticket)
        self.awaited.discard(ticket)
        try:
            result = self.pool.result(ticket)
        except WorkerLost as error:
            pending.lost(str(error))
        except WorkerUnfit:
            raise
        except Exception as error:  # noqa: BLE001  whatever a worker raises concerns its item only
            pending.failed(error)
        else:
            pending.done(result)

    # --- workers

    def _await(self, worker: Any, method: str, joined: Callable[[Any], None]) -> None:
        """Calls `joined` with the worker's first answer, whenever that comes."""

        def ask() -> None:
            ticket = self.pool.call(worker, method)
            self.pending[ticket] = Pending(done, lost, refuse)
            self.awaited.add(ticket)

        def done(answer: Any) -> None:
            self.pauses.answered(worker)
            joined(answer)

        def lost(reason: str) -> None:
            self.later.append((time.monotonic() + self.pauses.lost(worker, reason), ask))

        ask()

    def _ask_again(self) -> None:
        due = [ask for at, ask in self.later if at <= time.monotonic()]
        self.later = [(at, ask) for at, ask in self.later if ask not in due]
        for ask in due:
            ask()

    def _await_model(self, worker: Any) -> None:
        def joined(described: Any) -> None:
            self.welcome(described)
            self.there.append(worker)

        if worker in self.there:
            self.there.remove(worker)
        self._await(worker, "describe", joined)

    def _await_decoder(self, decoder: Any) -> None:
        if span := self.span_of[decoder]:  # which others can read meanwhile
            self.span_of[decoder] = deque()
            self.spans.append(span)
        self._await(decoder, "ready", lambda _: self.idle.append(decoder))

    # --- decoding

    def _feed_decoders(self) -> None:
        """Gives work to every idle decoder for which there is some, and memory."""
        waiting = []
        while self.idle:
            decoder = self.idle.popleft()
            if not self._give_work(decoder):
                waiting.append(decoder)
        self.idle.extend(waiting)

    def _give_work(self, decoder: Any) -> bool:
        job = self._next_job(decoder)
        if job is None:
            return self._probe_next(decoder)
        if len(self.decoded) >= READ_AHEAD_PER_MODEL * len(self.there):
            return False
        # A window that alone exceeds the budget goes when it is alone.
        if self.bytes_in_flight and self.bytes_in_flight + job.task.frame_bytes > self.options.memory_bytes:
            return False
        self.span_of[decoder].popleft()
        self._read(decoder, job)
        return True

    def _next_job(self, decoder: Any) -> Job | None:
        """The window at the front of the decoder's span, or of its next one."""
        while True:
            span = self.span_of[decoder]
            while span and span[0].movie.gave_up:
                job = span.popleft()
                self._fail(job, "decode", job.movie.gave_up)
            if span:
                return span[0]
            if self.again:
                self.span_of[decoder] = deque([self.again.popleft()])
            elif self.spans:
                self.span_of[decoder] = self.spans.popleft()
            elif not self._may_probe() and (half := self._half_a_span()):
                self.span_of[decoder] = half
            else:
                return None

    def _half_a_span(self) -> Span:
        """The second half of the longest span at work: the last movie should not keep one decoder only."""
        longest = max(self.span_of.values(), key=len)
        half = len(longest) // 2 if len(longest) >= SHARED_FROM else 0
        return deque(reversed([longest.pop() for _ in range(half)]))

    def _may_probe(self) -> bool:
        """Whether a movie is left, and so few are open that every decoder's next span is not yet certain."""
        return bool(self.movies) and self.open_movies < MOVIES_PER_DECODER * len(self.pool.decoders)

    def _probe_next(self, decoder: Any) -> bool:
        if not self._may_probe():
            return False
        movie, attempts, following = self.movies.take(decoder)
        self.open_movies += 1

        def done(result: tuple[Any, Any]) -> None:
            self.idle.append(decoder)
            self._begin(movie.movie_id, lambda: self.open_movie(movie, *result))

        def lost(reason: str) -> None:
            self._await_decoder(decoder)
            if attempts + 1 < self.options.attempts:
                self.open_movies -= 1
                self.movies.append((movie, attempts + 1))
            else:
                self._fail_movie(movie.movie_id, "probe", f"{reason} ({attempts + 1} attempts)")

        def failed(error: Exception) -> None:
            self.idle.append(decoder)
            self._fail_movie_by(movie.movie_id, "probe", error)

        ticket = self.pool.call(decoder, "probe", movie.movie_id, movie.video, *following)
        self.pending[ticket] = Pending(done, lost, failed)
        return True

    def _begin(self, movie_id: str, make: Callable[[], MovieJob]) -> None:
        """A movie's first pass, or its next one."""
        try:
            opened = make()
            spans = spans_of(opened, self.config, self.options.span_windows)
        except Exception as error:  # noqa: BLE001  as with workers: it concerns this movie only
            self._fail_movie_by(movie_id, "probe", error)
            return
        if opened.going.counts:
            self.progress.movie_opened(opened.header, opened.todo | opened.failed.keys())
            for index in opened.failed:  # by an earlier pass
                self.progress.window_failed(opened.header, index)
        self.spans.extend(spans)
        if not opened.todo:
            self._end(opened)

    def _read(self, decoder: Any, job: Job) -> None:
        self.bytes_in_flight += job.task.frame_bytes
        report, job.frames = self.pool.call_two(decoder, "read", job.task)

        def done(result: ReadReport) -> None:
            self.idle.append(decoder)
            job.read = result
            self.progress.stage("decode", result.seconds)
            job.movie.note(result)
            self.decoded.append(job)

        def lost(reason: str) -> None:
            self._await_decoder(decoder)
            self._retry(job, "decode", reason)

        def failed(error: Exception) -> None:
            self.idle.append(decoder)
            self._fail_by(job, "decode", error)

        self.pending[report] = Pending(done, lost, failed)

    # --- models

    def _feed_models(self) -> None:
        while self.decoded and self.unwritten < UNWRITTEN_PER_MODEL * len(self.there):
            worker = min(self.there, key=lambda w: self.load[w])
            if self.load[worker] >= WINDOWS_PER_MODEL:
                return
            self._encode(worker, self.decoded.popleft())

    def _encode(self, worker: Any, job: Job) -> None:
        self.load[worker] += 1
        report, window = self.pool.call_two(worker, job.movie.going.model, job.task, job.read, job.frames)

        def done(result: ModelReport) -> None:
            self.load[worker] -= 1
            self._release(job)
            self.progress.models(result)
            self._write(job, window)

        def lost(reason: str) -> None:
            self.load[worker] -= 1
            if worker in self.there:
                self._await_model(worker)
            self._retry(job, "model", reason)

        def failed(error: Exception) -> None:
            self.load[worker] -= 1
            self._fail_by(job, "model", error)

        self.pending[report] = Pending(done, lost, failed)

    # --- writing

    def _write(self, job: Job, window: Any, again: bool = False) -> None:
        self.unwritten += 1

        def done(seconds: float) -> None:
            self.unwritten -= 1
            self.progress.stage("write", seconds)
            if job.movie.going.counts:
                self.progress.window_done(job.movie.header, job.task.index)
            self._finish(job)

        def lost(reason: str) -> None:
            self.unwritten -= 1
            if again:  # from the start: the window itself seems to be lost with the worker that made it
                self._retry(job, "write", reason)
            else:
                self._write(job, window, again=True)

        ticket = self.pool.call(self._writer(job.task.movie_id), "write", window)
        self.pending[ticket] = Pending(done, lost, _stop)

    def _writer(self, movie_id: str) -> Any:
        """A movie's windows and its shard are all written by one: what another has just written may not be seen yet."""
        return self.pool.writers[zlib.crc32(movie_id.encode()) % len(self.pool.writers)]

    def _end(self, opened: MovieJob, attempts: int = 0) -> None:
        """What is to be done when all of a pass's windows are stored or failed."""
        going, then, movie_id = opened.going, opened.then, opened.header.movie_id

        def done(result: tuple[float, Any]) -> None:
            seconds, made = result
            self.progress.stage(going.stage, seconds)
            if then is not None:
                self._begin(movie_id, lambda: then(made))
            else:
                self.open_movies -= 1
                self.progress.movie_done(opened.header, made)

        def lost(reason: str) -> None:
            if attempts + 1 < self.options.attempts:
                self._end(opened, attempts + 1)
            elif then is None:
                raise WriteFailed(f"{reason} ({attempts + 1} attempts)")
            else:
                self._fail_movie(movie_id, going.end, f"{reason} ({attempts + 1} attempts)")

        def failed(error: Exception) -> None:
            if then is None or isinstance(error, OSError):
                _stop(error)
            self._fail_movie_by(movie_id, going.end, error)

        worker = self._writer(movie_id) if going.ending == "writer" else self.pool.linker
        ticket = self.pool.call(worker, going.end, opened.header, opened.failed)
        self.pending[ticket] = Pending(done, lost, failed)

    # --- outcomes

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
        self._release(job)
        job.movie.failed[job.task.index] = (stage, reason)
        if job.movie.going.counts:
            self.progress.window_failed(job.movie.header, job.task.index)
        self._finish(job)

    def _fail_by(self, job: Job, stage: str, error: Exception) -> None:
        self.keep(f"movie {job.task.movie_id}, window {job.task.index}, {stage}", error)
        self._fail(job, stage, one_line(error))

    def _fail_movie(self, movie_id: str, stage: str, reason: str) -> None:
        self.open_movies -= 1
        self.progress.movie_failed(movie_id, stage, reason)

    def _fail_movie_by(self, movie_id: str, stage: str, error: Exception) -> None:
        self.keep(f"movie {movie_id}", error)
        if isinstance(error, NoMovie):
            self.refuse_file(movie_id, error.file, one_line(error))
        self._fail_movie(movie_id, stage, one_line(error))

    def _finish(self, job: Job) -> None:
        job.movie.todo.discard(job.task.index)
        if not job.movie.todo:
            self._end(job.movie)


def _stop(error: Exception) -> None:
    """A disk that is full or gone concerns every window: stop, so that a rerun can go on from here."""
    raise WriteFailed(one_line(error)) from error
