"""What the scheduler moves: passes over a movie, spans of consecutive windows, a window's job, an error's one line.

In: a movie and its unfinished windows. Out: spans, each for one decoder to read from front to back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from rhas.extract.config import ExtractConfig
from rhas.extract.run.workers import ReadReport, WindowTask, window_task
from rhas.extract.tracks.shots import shot_of
from rhas.extract.tracks.sparse import looked_at
from rhas.manifests.common.secrets import redacted
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.interpolated import every_of, reach
from rhas.manifests.shards.people import People, wanted
from rhas.manifests.shards.tracks import MovieTracks

SELF_EXPLAINING = (
    "DecodeError",
    "NoMovie",
    "FeatureError",
)  # errors whose messages are reasons as they stand
REASON_CHARS = 500
HOPELESS_AFTER = 3  # windows in a row that killed the decoder without giving a frame


@dataclass(frozen=True)
class Pass:
    """One way through a movie's windows, and whose methods go it.

    `task` makes a window's task; the model workers' `model` takes it, with report and frames, to a report and what the
    writer stores. When every window is stored or failed, the `ending` worker's `end` is called with the movie's header
    and the failed ones: for seconds, and for what is next.
    """

    task: Callable[[MovieJob, int, ExtractConfig], WindowTask]
    model: str
    ending: Literal["writer", "linker"]
    end: str
    stage: str  # of whose seconds its end is counted
    counts: bool  # its windows are the movie's in progress and accounts


@dataclass
class MovieJob:
    """A pass of a movie being worked on. `todo` windows are not yet written or failed.

    `then` makes the next pass of what ended this one; the last one has none.
    """

    header: MovieHeader
    todo: set[int]
    going: Pass
    then: Callable[[Any], MovieJob] | None = None
    tracks: MovieTracks | None = None
    people: People | None = None
    new: tuple[str, ...] = ()  # persons who are added
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)  # window: stage and reason
    fruitless: int = 0  # windows in a row that killed the decoder and gave nothing
    gave_up: str = ""  # why the rest of the movie is not read

    def note(self, read: ReadReport) -> None:
        """Gives up a movie whose windows do nothing but kill decoders, each after its deadline."""
        self.fruitless = self.fruitless + 1 if read.killed and not read.ok else 0
        if self.fruitless >= HOPELESS_AFTER:
            self.gave_up = f"gave up after {HOPELESS_AFTER} windows in a row without a frame: {read.reason}"


@dataclass
class Job:
    """A window on its way, with what it holds."""

    movie: MovieJob
    task: WindowTask
    attempts: int = 0
    read: ReadReport | None = None
    frames: Any = None  # ticket of the decoded frames


Span: TypeAlias = deque[Job]


def spans_of(opened: MovieJob, config: ExtractConfig, span_windows: int) -> list[Span]:
    """The pass's unfinished windows as runs of at most `span_windows` consecutive ones."""
    spans: list[Span] = []
    for index in sorted(opened.todo):
        task = opened.going.task(opened, index, config)
        follows = spans and spans[-1][-1].task.index == index - 1
        if not follows or len(spans[-1]) == span_windows:
            spans.append(deque())
        spans[-1].append(Job(opened, task))
    return spans


def _looking(opened: MovieJob, index: int, config: ExtractConfig) -> WindowTask:
    """Everybody in the sparse samples of a window."""
    header = opened.header
    start, stop = header.bound(index)
    task = window_task(header, index, header.persons, 0, config.decode.short_side)
    look = looked_at(header.time_s, [header.inside(p) for p in header.persons], config.tracks.every_s)
    return replace(task, look=look[start:stop], whole=config.tracks.outside)


def _encoding(opened: MovieJob, index: int, config: ExtractConfig) -> WindowTask:
    header, tracks = opened.header, opened.tracks
    start, stop = header.bound(index)
    short_side = config.decode.short_side
    if tracks is not None:
        persons = header.promised(start, stop)
        # Features within the window may lie between two of which one is beyond it.
        first, last = reach(start, stop, len(header.time_s), every_of(header.config))
        boxes = {p.person_id: tracks.boxes[p.person_id].part(first, last) for p in persons}
        task = window_task(header, index, persons, start - first, short_side, last - stop)
        shots = shot_of(np.arange(first, last), tracks.cuts)
        pictures = None if opened.people is None else wanted(opened.people, start, stop)
        return replace(task, boxes=boxes, shots=shots, tracks=header.tracks[index], pictures=pictures)
    # Who was there just before may have had a box that nobody else could have. One caption for everyone must
    # always hold everyone.
    lead = min(config.detector.follow_frames, start)
    everyone = header.persons
    persons = everyone if config.detector.joint else header.promised(start - lead, stop)
    return window_task(header, index, persons, lead, short_side)


def _adding(opened: MovieJob, index: int, config: ExtractConfig) -> WindowTask:
    """Of those who are new."""
    task = _encoding(replace(opened, people=None), index, config)
    assert task.boxes is not None
    new = [
        (p, inside) for p, inside in zip(task.persons, task.inside, strict=True) if p.person_id in opened.new
    ]
    persons, inside = zip(*new, strict=True)
    boxes = {p.person_id: task.boxes[p.person_id] for p in persons}
    return replace(task, persons=persons, inside=inside, boxes=boxes)


LOOKING = Pass(_looking, "look", "linker", "link", "ground", counts=False)
ENCODING = Pass(_encoding, "encode", "writer", "seal", "write", counts=True)
ADDING = Pass(_adding, "encode_added", "writer", "seal_added", "write", counts=True)


def one_line(error: Exception) -> str:
    """An error as a reason: its kind, unless the message says it all, and the message's first line."""
    line = redacted((str(error).strip().splitlines() or [""])[0])[:REASON_CHARS]
    kind = type(error).__name__
    return line if kind in SELF_EXPLAINING and line else f"{kind}: {line}".removesuffix(": ")
