"""Reads a movie packet by packet, with PyAV: for movies that decord refuses, damages or misplaces.

decord refuses a movie that ends too early, and it decodes ahead in a thread: where a packet is damaged it fails
a varying number of frames too early, and each further try starts over at the last key frame. After a seek it
hands out other frames than were asked for, unless the container says exactly where its frames are (`EXACT`).
Here packets are decoded one after another, once. After a damaged packet, and after a seek, nothing counts
until the next key frame: frames in between refer to what was lost. A frame is known by its time stamp.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice, pairwise
from typing import TypeAlias

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from rhas.extract.decode.sampling import MAX_FRAMES, MAX_MOVIE_S

# FFmpeg's warnings to stderr, where they are counted: damage that decodes anyway leaves only this trace.
av.logging.restore_default_callback()
av.logging.set_libav_level(av.logging.WARNING)

# Where decord finds each frame again; elsewhere (MPEG-TS, AVI, MPEG-4 part 2 …) it is off by up to a group.
EXACT = ("mov,mp4", "matroska"), ("h264", "hevc", "vp8", "vp9")
UNSEEKABLE = ("mpeg", "mpegvideo")  # few frames have a time stamp: after a seek they are guessed wrongly
FORWARD_S = 20.0  # a jump that is decoded through rather than sought
TOLERANCE_S = 2e-3  # decord's time stamps are float32
LARGEST_JUMP_S = 60.0  # a single time stamp that differs more from those around it is damaged
TRIED = 16  # frames decoded to see the movie's shape, and whether its time stamps are those of its frames

Stamp: TypeAlias = tuple[int, int, int, bool]  # of a packet: pts, dts, duration, whether it is a key frame
DAMAGED, ENDED = "damaged movie data", "the movie ends before this frame"


class PacketReader:
    """The frames of a movie, found by their time stamps. Raises FFmpegError or ValueError for what is no movie.

    `start_s` [N] float64: their times, ascending, 0 at the first frame; `end_s`: end of the last one;
    `shape`: height and width as displayed (rotation applied). Frames that the container promises beyond what
    can be read are listed at the average rate; one stands for all of a promise that can't be true.
    """

    def __init__(self, path: str):
        self.path = path
        with av.open(path) as container:
            stream = _video(container)
            # Time stamps only: packets hold their data, and all of them would hold the movie in memory.
            stamps = [
                (p.pts, p.pts if p.dts is None else p.dts, p.duration or 0, p.is_keyframe)
                for p in _packets(container, stream)
                if p.pts is not None
            ]
            base = _seconds(stream)
            rate = float(stream.average_rate or 25)
            seekable = container.format.name not in UNSEEKABLE
            claimed_s = (stream.duration or 0) * base
        stamps = sorted(_without_outliers(stamps, LARGEST_JUMP_S / base))
        if not stamps:
            raise ValueError("the movie has no video frames with time stamps")
        self.origin_s = stamps[0][0] * base
        start_s = np.array([pts for pts, *_ in stamps]) * base - self.origin_s
        last_s = stamps[-1][2] * base or 1 / rate
        # By time, not by count: where frames are stored out of order, the cut leaves gaps before its end.
        missing = max(0, round((claimed_s - start_s[-1] - last_s) * rate))
        if claimed_s > MAX_MOVIE_S or missing > MAX_FRAMES:
            missing = min(missing, 1)
        self.start_s = np.concatenate([start_s, start_s[-1] + last_s + np.arange(missing) / rate])
        self.end_s = float(self.start_s[-1] + last_s)
        keys = [(pts * base - self.origin_s, dts) for pts, dts, _, key in stamps if key and seekable]
        self.key_s = np.array([time_s for time_s, _ in keys])
        self.key_dts = [dts for _, dts in keys]
        self._forward_s = FORWARD_S if seekable else np.inf
        self.shape = _tried(path)
        self._frames: Iterator[av.VideoFrame | None] = iter(())
        self._next: av.VideoFrame | None = None  # came out of the decoder for a later read
        self._read_s = -np.inf  # the time up to which `_frames` have come out

    def read(
        self, start_s: NDArray[np.float64], indices: list[int], size: tuple[int, int]
    ) -> Iterator[tuple[int, NDArray[np.uint8] | None, str]]:
        """Yields (position in `indices`, frame [H, W, 3] or None, reason) for every index, each once.

        `start_s` [N] are the frame times that `indices` (ascending) count; `size` is (height, width). Reading
        on where the last read ended needs no seek.
        """
        wanted = {index: at for at, index in enumerate(indices)}
        last_s = start_s[indices[-1]]
        damaged = False
        for frame in self._from(start_s[indices[0]]):
            if frame is None:
                damaged = True
                continue
            time_s = frame.time - self.origin_s
            slack_s = TOLERANCE_S + abs(time_s) * np.finfo(np.float32).eps
            number = int(np.searchsorted(start_s, time_s + slack_s, side="right")) - 1
            if number < 0 or abs(start_s[number] - time_s) > slack_s:
                continue  # a damaged time stamp
            if time_s > last_s + slack_s:
                self._next, damaged = frame, True  # what is missing came before
                break
            self._read_s = time_s + slack_s
            if number in wanted:
                yield wanted.pop(number), _pixels(frame, size), ""
            if not wanted:
                return
        for number, at in sorted(wanted.items()):
            reason = DAMAGED if damaged or start_s[number] < self._read_s else ENDED
            yield at, None, f"frame {number}: {reason}"

    def _from(self, first_s: float) -> Iterator[av.VideoFrame | None]:
        """Intact frames from a key frame at or before `first_s` on; None where data are damaged."""
        if not self._read_s < first_s <= self._read_s + self._forward_s:
            self._next, self._frames, self._read_s = None, self._opened_at(first_s), -np.inf
        waiting = [] if self._next is None else [self._next]
        self._next = None
        return chain(waiting, self._frames)

    def _opened_at(self, first_s: float) -> Iterator[av.VideoFrame | None]:
        for dts in self._seek_points(first_s):
            with av.open(self.path) as container, suppress(FFmpegError):
                if dts is not None:
                    container.seek(dts, stream=_video(container), backward=True)
                frames = _intact(container)
                head = []
                for frame in frames:
                    head.append(frame)
                    if frame is not None:
                        break
                in_time = any(f is not None and f.time - self.origin_s <= first_s + TOLERANCE_S for f in head)
                if in_time or dts is None:
                    yield from head
                    yield from frames
                    return

    def _seek_points(self, first_s: float) -> Iterator[int | None]:
        """From the last key frame before `first_s` further and further back: a seek may end behind its target."""
        key = int(np.searchsorted(self.key_s, first_s + TOLERANCE_S, side="right")) - 1
        step = 1
        while key > 0:
            yield self.key_dts[key]
            key -= step
            step *= 2
        yield None  # the beginning of the movie, without a seek


def exact(path: str) -> bool:
    """Whether decord can be trusted with the movie. Raises FFmpegError or ValueError for what is no movie."""
    containers, codecs = EXACT
    with av.open(path) as container:
        stream = _video(container)
        claimed_s = (container.duration or 0) / av.time_base
        # decord takes memory for all frames that are claimed, and dies.
        claims = max(claimed_s * float(stream.average_rate or 0), stream.frames)
        return (
            container.format.name.startswith(containers)
            and stream.codec.canonical_name in codecs
            and claimed_s <= MAX_MOVIE_S
            and claims <= MAX_FRAMES
        )


def _without_outliers(stamps: list[Stamp], jump: float) -> list[Stamp]:
    """Without damaged time stamps: those that differ by more than `jump` from what stands around them."""
    pts = np.array([stamp[0] for stamp in stamps], dtype=np.float64)
    around = np.median(np.stack([pts, np.append(pts[1:], pts[-1:]), np.append(pts[:1], pts[:-1])]), axis=0)
    return [stamp for stamp, off in zip(stamps, np.abs(pts - around) > jump, strict=True) if not off]


def _tried(path: str) -> tuple[int, int]:
    """Height and width as displayed. Raises ValueError when frames don't come in the order of their times."""
    with av.open(path) as container:
        frames = list(islice((f for f in _decoded(container) if f is not None), TRIED))
    if not frames:
        raise ValueError("no frame of the movie can be decoded")
    times_s = [frame.time for frame in frames if frame.time is not None]
    if sum(after <= before for before, after in pairwise(times_s)) > 1:  # one alone is a damaged stamp
        raise ValueError("the movie's time stamps are not in the order in which its frames are shown")
    return (frames[0].height, frames[0].width)[:: -1 if _turns(frames[0]) % 2 else 1]


def _intact(container: av.container.InputContainer) -> Iterator[av.VideoFrame | None]:
    """Frames that refer to nothing that was lost, in the order in which they are shown; None for damage."""
    intact = False
    for frame in _decoded(container):
        if frame is None:
            intact = False
            yield None
        elif frame.time is not None:
            intact = (intact or frame.key_frame) and not frame.is_corrupt
            if intact:
                yield frame


def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame | None]:
    """All frames that come out of the decoder; None where it reports damage."""
    for packet in _packets(container, _video(container)):
        try:
            yield from packet.decode()
        except FFmpegError:
            yield None


def _video(container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise ValueError("the movie has no video stream")
    return container.streams.video[0]


def _seconds(stream: av.VideoStream) -> float:
    """Seconds per unit of the stream's time stamps."""
    assert stream.time_base is not None
    return float(stream.time_base)


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets up to the end, or to where the container can't be read any further."""
    with suppress(FFmpegError):
        yield from container.demux(stream)


def _turns(frame: av.VideoFrame) -> int:
    """Quarter turns, counter-clockwise, that show the frame upright."""
    return round(frame.rotation / 90)


def _pixels(frame: av.VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB at (height, width) as displayed."""
    height, width = size if _turns(frame) % 2 == 0 else size[::-1]
    image = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    return np.rot90(image, _turns(frame))
