"""What the scheduler moves: movies cut into spans of consecutive windows, a window's job, an error's one line.

In: a movie and its unfinished windows. Out: spans, each for one decoder to read from front to back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rhas.extract.config import ExtractConfig
from rhas.extract.run.workers import ReadReport, WindowTask, window_task
from rhas.manifests.shards.format import MovieHeader

SELF_EXPLAINING = (
    "DecodeError",
    "NoMovie",
    "FeatureError",
)  # errors whose messages are reasons as they stand
REASON_CHARS = 500
HOPELESS_AFTER = 3  # windows in a row that killed the decoder without giving a frame


@dataclass
class MovieJob:
    """A movie being worked on. `todo` windows are not yet written or failed."""

    header: MovieHeader
    todo: set[int]
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
    """The movie's unfinished windows as runs of at most `span_windows` consecutive ones."""
    spans: list[Span] = []
    for index in sorted(opened.todo):
        start, stop = opened.header.bound(index)
        # Who was there just before may have had a box that nobody else could have. One caption for everyone must
        # always hold everyone.
        lead = min(config.detector.follow_frames, start)
        everyone = opened.header.persons
        persons = everyone if config.detector.joint else opened.header.promised(start - lead, stop)
        task = window_task(opened.header, index, persons, lead, config.decode.short_side)
        follows = spans and spans[-1][-1].task.index == index - 1
        if not follows or len(spans[-1]) == span_windows:
            spans.append(deque())
        spans[-1].append(Job(opened, task))
    return spans


def one_line(error: Exception) -> str:
    """An error as a reason: its kind, unless the message says it all, and the message's first line."""
    line = (str(error).strip().splitlines() or [""])[0][:REASON_CHARS]
    kind = type(error).__name__
    return line if kind in SELF_EXPLAINING and line else f"{kind}: {line}".removesuffix(": ")
