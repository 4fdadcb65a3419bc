"""Reads what can be read of a damaged film, packet by packet, with PyAV.

decord refuses a film that ends too early, and it decodes ahead in a thread: where a packet is damaged it fails
a varying number of frames too early, and each further try starts over at the last key frame. Here packets are
decoded one after another, once. After a damaged packet nothing counts until the next key frame: frames in
between refer to what was lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

TOLERANCE_S = 2e-3  # decord's time stamps are float32


def index(path: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Lists the frames of a film: frame count, shape as displayed, end; and start times [N], 0 at the first.

    Frames that the container promises beyond what can be read are listed at the average rate. Raises
    FFmpegError or ValueError for what is no film.
    """
    with av.open(path) as container:
        stream = _video(container)
        packets = [(p.pts, p.duration or 0) for p in _packets(container, stream) if p.pts is not None]
        if not packets:
            raise ValueError("the film has no video frames")
        base = _seconds(stream)
        rate = float(stream.average_rate or 25)
        start_s = np.sort([pts * base for pts, _ in packets])
        last_s = packets[-1][1] * base or 1 / rate
        # By time, not by count: where frames are stored out of order, the cut leaves gaps before its end.
        promised_s = (stream.duration or 0) * base - (start_s[-1] - start_s[0]) - last_s
        missing = max(0, round(promised_s * rate))
        start_s = np.concatenate([start_s, start_s[-1] + last_s + np.arange(missing) / rate]) - start_s[0]
        container.seek(0)
        first = next(frame for packet in _packets(container, stream) for frame in _decoded(packet) or [])
        height, width = (first.height, first.width)[:: -1 if _turns(first) % 2 else 1]
    info = {"frames": len(start_s), "height": height, "width": width, "end_s": float(start_s[-1] + last_s)}
    return info, start_s


def salvage(
    path: str, start_s: NDArray[np.float64], indices: list[int], size: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.uint8] | None, str]]:
    """Yields (position in `indices`, frame [H, W, 3] or None, reason) for every index, each once.

    `start_s` [N] are the film's frame times, 0 at its first frame; `indices` ascend; `size` is (height, width).
    """
    wanted = {index: at for at, index in enumerate(indices)}
    last_s = start_s[indices[-1]]
    reason = "the film ends before this frame"
    with av.open(path) as container:
        stream = _video(container)
        base = _seconds(stream)
        origin_s = (stream.start_time or 0) * base
        if start_s[indices[0]] > 0:
            first_pts = round((origin_s + start_s[indices[0]] - TOLERANCE_S) / base)
            container.seek(first_pts, stream=stream, backward=True)
        intact = True
        for packet in _packets(container, stream):
            frames = _decoded(packet)
            if frames is None:
                intact, reason = False, "damaged film data"
                continue
            for frame in frames:
                intact = (intact or frame.key_frame) and not frame.is_corrupt
                if frame.time is None or not intact:
                    continue
                number = int(np.searchsorted(start_s, frame.time - origin_s + TOLERANCE_S, side="right")) - 1
                if number in wanted:
                    yield wanted.pop(number), _pixels(frame, size), ""
            # A second further, no frame that is still missing will come out of the decoder.
            if not wanted or (packet.pts is not None and packet.pts * base - origin_s > last_s + 1):
                break
    for number, at in sorted(wanted.items()):
        yield at, None, f"frame {number}: {reason}"


def _video(container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise ValueError("the film has no video stream")
    return container.streams.video[0]


def _seconds(stream: av.VideoStream) -> float:
    """Seconds per unit of the stream's time stamps."""
    assert stream.time_base is not None
    return float(stream.time_base)


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets up to the end, or to where the container can't be read any further."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):
            return
        yield packet


def _decoded(packet: av.Packet) -> list[Any] | None:
    """The frames that a packet completes; None if it is damaged."""
    try:
        return list(packet.decode())
    except FFmpegError:
        return None


def _turns(frame: av.VideoFrame) -> int:
    """Quarter turns, counter-clockwise, that show the frame upright."""
    return round(frame.rotation / 90)


def _pixels(frame: av.VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB at (height, width) as displayed."""
    height, width = size if _turns(frame) % 2 == 0 else size[::-1]
    image = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    return np.rot90(image, _turns(frame))
