"""Windows of a movie: decoded in ascending order, each with the frames just before it.

The frames before a window (its lead-in) let a box be carried into it, so that what a window holds does not
depend on where windows begin. A window that follows the one read last takes them from memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecoderProcess, Frames
from rhas.extract.decode.thumbnails import Changes, changes
from rhas.manifests.common.locations import Place


@dataclass(frozen=True)
class WindowFrames:
    """Frames of one window and its lead-in, all of one size.

    `frames.pixels` [lead + n, H, W, 3]; the first `lead` rows come before the window. `time_s` [lead + n] is movie
    time, for boxes that are looked up; it is added where the task is at hand. `changes` and `decoded` [n], of a
    window that was thinned out, are those of the whole one.
    """

    frames: Frames
    lead: int
    time_s: NDArray[np.float64] | None = None
    changes: Changes | None = None
    decoded: NDArray[np.bool_] | None = None

    def thinned_out(self, look: NDArray[np.bool_]) -> WindowFrames:
        """Only the frames to `look` at [n], and how the picture changes over all; of a window without lead-in."""
        assert not self.lead
        frames = replace(self.frames, pixels=self.frames.pixels[look].copy(), ok=self.frames.ok[look])
        return replace(
            self, frames=frames, changes=changes(self.frames.pixels, self.frames.ok), decoded=self.frames.ok
        )


class WindowDecoder:
    """Reads windows of movies; fastest when asked for the windows of a movie in ascending order."""

    def __init__(self, process: DecoderProcess, lead_frames: int):
        self.process = process
        self.lead_frames = lead_frames  # the longest lead-in that will be asked for
        self._last: tuple[Place, tuple[int, int], int] | None = (
            None  # movie, size and next sample of the tail
        )
        self._tail: Frames | None = None

    def read(
        self,
        video: Place,
        index: MovieIndex,
        source_frame: NDArray[np.int64],
        start: int,
        lead: int,
        size: tuple[int, int],
    ) -> WindowFrames:
        """Decodes the samples that begin at `start`; `source_frame` holds those of lead-in and window, and maybe some
        behind it.

        Raises DecodeError when the movie can't be opened.
        """
        first = start - lead
        kept = self._kept(video, size, first, len(source_frame))
        have = 0 if kept is None else len(kept.ok)
        wanted = source_frame[have:]
        self._last = None
        # A movie shown faster than it was shot repeats frames: decode each once.
        unique, back = np.unique(wanted, return_inverse=True)
        read = self.process.read(video, index, unique, size)
        frames = (
            read if len(unique) == len(wanted) else replace(read, pixels=read.pixels[back], ok=read.ok[back])
        )
        if kept is not None:
            pixels, ok = np.concatenate([kept.pixels, frames.pixels]), np.concatenate([kept.ok, frames.ok])
            frames = replace(frames, pixels=pixels, ok=ok)
        self._keep(frames, video, size, first + len(source_frame))
        return WindowFrames(frames, lead)

    def _kept(self, video: Place, size: tuple[int, int], first: int, count: int) -> Frames | None:
        """Of `count` samples from `first` on those at the beginning that were read last, but never all."""
        if self._last is None or self._tail is None or self._last[:2] != (video, size):
            return None
        have = self._last[2] - first  # up to where it was read
        if not 0 < have <= len(self._tail.ok):
            return None
        part = slice(len(self._tail.ok) - have, len(self._tail.ok) - have + min(have, count - 1))
        return replace(self._tail, pixels=self._tail.pixels[part], ok=self._tail.ok[part])

    def _keep(self, frames: Frames, video: Place, size: tuple[int, int], following: int) -> None:
        keep = min(len(frames.ok), self.lead_frames)
        first = len(frames.ok) - keep
        # A copy: a view would hold the whole window in memory.
        self._tail = replace(frames, pixels=frames.pixels[first:].copy(), ok=frames.ok[first:].copy())
        self._last = (video, size, following)
