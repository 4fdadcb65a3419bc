"""What workers are given and what they tell: a window to read and encode, and how that went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.process import fit_short_side
from rhas.manifests.common.locations import Place, place
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.pictures import Wanted
from rhas.manifests.tables.manifest import Person


@dataclass(frozen=True)
class WindowTask:
    """One window to read and to encode. `source_frame`, `time_s` and `inside` cover lead-in, window and what is behind
    it: [lead + n + tail]."""

    movie_id: str
    video: Place
    digest: str  # of the movie's bytes, when it was opened
    index: int
    start: int
    stop: int
    lead: int
    window_id: str
    size: tuple[int, int]  # height and width to decode at
    source_frame: NDArray[np.int64]
    time_s: NDArray[np.float64]
    persons: tuple[Person, ...]
    inside: tuple[NDArray[np.bool_], ...]
    look: NDArray[np.bool_] | None = None  # [n] pass one: the samples that the detector sees
    whole: bool = False  # pass one: a tracker sees the others too
    tail: int = 0  # samples behind the window
    boxes: Mapping[str, PersonBoxes] | None = (
        None  # pass two: everyone's who is referred to, [lead + n + tail]
    )
    shots: NDArray[np.int64] | None = None  # pass two: the shot of each of these samples
    pictures: Wanted | None = None  # pass two: those of anybody
    tracks: str = ""  # the digest of these

    @property
    def frame_bytes(self) -> int:
        return len(self.source_frame) * self.size[0] * self.size[1] * 3

    @property
    def own(self) -> slice:
        """The window itself in what is read for it."""
        return slice(self.lead, self.lead + self.stop - self.start)


@dataclass(frozen=True)
class ReadReport:
    """How reading a window went: frames had of frames wanted, and what stood in the way."""

    ok: int
    wanted: int
    reason: str
    killed: bool
    seconds: float


@dataclass(frozen=True)
class ModelReport:
    """How encoding a window went."""

    frames: int
    ground_s: float
    encode_s: float
    busy_s: float
    looked: int = 0  # frames that the detector saw
    cpu_s: float = 0.0  # of the CPU, in all threads


def window_task(
    header: MovieHeader,
    index: int,
    persons: Sequence[Person],
    lead_frames: int,
    short_side: int,
    tail: int = 0,
) -> WindowTask:
    """The task for one window of a movie: which frames to read, who is in it."""
    start, stop = header.bounds()[index]
    lead = min(lead_frames, start)
    return WindowTask(
        movie_id=header.movie_id,
        video=place(header.video) if isinstance(header.video, str) else header.video,
        digest=header.identity["video"],
        index=index,
        start=start,
        stop=stop,
        lead=lead,
        window_id=header.window_id(index),
        size=fit_short_side(header.source["height"], header.source["width"], short_side),
        source_frame=header.source_frame[start - lead : stop + tail],
        time_s=header.time_s[start - lead : stop + tail],
        persons=tuple(persons),
        inside=tuple(header.inside(p, start - lead, stop + tail) for p in persons),
        tail=tail,
    )
