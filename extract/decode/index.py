"""The index of a movie: what one pass over its packets says of every frame, before any is decoded for good.

A `MovieIndex` holds the shown frames in the order and at the times at which a player shows them, the packets that
decoding may begin with, and the facts of the movie (`MovieFacts`). It is made once (`rhas.extract.decode.indexing`),
stored in the features folder, and handed to every decoder: they know a frame by the packet that it came from, never by
counting.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.picture import Rendering
from rhas.extract.decode.sampling import Grid, sample
from rhas.manifests.common.digest import file_key
from rhas.manifests.common.locations import Place

INDEX_VERSION = 2
NO_ROW = -1  # of a frame that the container promises and that isn't there


@dataclass(frozen=True)
class MovieFacts:
    """What a movie is, as its shard stores it. Times in seconds, sizes in pixels as displayed unless coded."""

    container: str
    codec: str
    bytes: int
    digest: str
    rate: float  # frames per second on average, as the container says
    frames: int  # shown
    hidden: int  # packets that are decoded for others' sake or not at all, and never shown
    height: int
    width: int
    coded_height: int
    coded_width: int
    sample_aspect: str
    orientation: str
    interlaced: bool
    pixel_format: str
    matrix: str
    matrix_assumed: bool
    range: str
    transfer: str
    primaries: str
    start_s: float  # the first shown frame's stamp
    container_start_s: float  # the earliest stamp of any stream
    joined_at_s: tuple[float, ...]  # movie times at which the clock was cut
    order: str  # where the order of frames is from: stamps, or decoding

    @property
    def offset_s(self) -> float:
        """How much later than the container's clock the movie time begins."""
        return self.start_s - self.container_start_s

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MovieFacts:
        known = {f.name: values[f.name] for f in fields(cls)}
        return cls(**{**known, "joined_at_s": tuple(known["joined_at_s"])})


@dataclass(frozen=True)
class MovieIndex:
    """N shown frames of R packets ("rows", in order of storage), and E rows that decoding may begin with.

    `start_s` [N] float64 ascending: when each is shown, 0 for the first; `end_s`: end of the last one; `row` [N]
    int64: the packet that it comes from, or `NO_ROW`. `pos`, `size` [R]: where packets lie, by which they are known
    again after a seek. `entry_row` [E] ascending, `entry_s` [E]: decoded from there, frames shown at that time or
    later are exact; `entry_wait` [E]: after so many packets more; `entry_stamp` [E]: what to seek. `corrupt` [C]
    ascending: rows that the container knows to be incomplete.
    """

    facts: MovieFacts
    rendering: Rendering
    start_s: NDArray[np.float64]
    end_s: float
    row: NDArray[np.int64]
    pos: NDArray[np.int64]
    size: NDArray[np.int64]
    entry_row: NDArray[np.int64]
    entry_s: NDArray[np.float64]
    entry_wait: NDArray[np.int64]
    entry_stamp: NDArray[np.int64]
    corrupt: NDArray[np.int64]
    by_byte: bool  # seek to `pos`, not to stamps
    for_decord: bool  # decord reads every frame of it exactly
    mtime_ns: int = field(default=0, compare=False)

    def to_bytes(self) -> bytes:
        """For a file or a pipe; `from_bytes` is the inverse."""
        arrays: dict[str, Any] = {
            f.name: a for f in fields(self) if isinstance(a := getattr(self, f.name), np.ndarray)
        }
        scalars = {"end_s": self.end_s, "by_byte": self.by_byte, "for_decord": self.for_decord}
        head = {
            "version": INDEX_VERSION,
            "facts": asdict(self.facts),
            "rendering": self.rendering.to_dict(),
            "mtime_ns": self.mtime_ns,
            **scalars,
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> MovieIndex:
        """Raises ValueError for anything else than what `to_bytes` of this version gave."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                head = json.loads(stored["head"].tobytes())
                if head.pop("version") != INDEX_VERSION:
                    raise ValueError("another version")
                facts = MovieFacts.from_dict(head.pop("facts"))
                rendering = Rendering.from_dict(head.pop("rendering"))
                arrays = {name: stored[name] for name in stored.files if name != "head"}
                return cls(facts, rendering, **arrays, **head)
        except Exception as error:
            raise ValueError(f"not the index of a movie: {error}") from error

    def samples(self, fps: float | None, time_origin: str = "first-frame") -> Grid:
        """Which frames are shown when, at `fps` or (None) all; times count from `time_origin` (`DecodeConfig`)."""
        grid = sample(self.start_s, self.end_s, fps)
        return (
            grid if time_origin == "first-frame" else replace(grid, time_s=grid.time_s + self.facts.offset_s)
        )

    def key(self) -> tuple[int, int]:
        """Size and modification time: while they stay, the file is taken to be the same."""
        return self.facts.bytes, self.mtime_ns


def stored_index(path: Path, video: Place) -> MovieIndex | None:
    """The index that `path` holds, if it is that of the file that `video` is now. Raises OSError."""
    index = any_index(path)
    return index if index is not None and index.key() == file_key(video) else None


def any_index(path: Path) -> MovieIndex | None:
    """The index that `path` holds, if it holds one, of whatever file. Raises OSError."""
    try:
        return MovieIndex.from_bytes(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
