"""A movie's container, as PyAV opens it: the stream that is the movie, its packets, and its decoder.

FFmpeg warns on stderr, where the parent counts the lines: damage that decodes anyway leaves only this trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import av
import av.bitstream
from av.error import FFmpegError

from rhas.extract.decode.index import NO_ROW
from rhas.manifests.common.locations import Place, Remote

COPY_OPAQUE = 1 << 7  # AV_CODEC_FLAG_COPY_OPAQUE: frames carry what their packets did

av.logging.restore_default_callback()
av.logging.set_libav_level(av.logging.WARNING)


def claimed_length_s(path: Place) -> float | None:
    """What the container says of its length, without reading it; None where it says nothing, is none or isn't here."""
    if isinstance(path, Remote):
        return None
    try:
        with av.open(str(path)) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (FFmpegError, OSError, ValueError):
        return None


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first that is a movie, not an attached picture. Raises ValueError."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise ValueError("the movie has no video stream")


def readable_packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets that hold a frame, up to the end or to where the container can't be read any further."""
    with suppress(FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


class Decoder:
    """A stream's decoder, on one thread, whose frames tell the number of their packet."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self._context = stream.codec_context
        self._context.thread_count = 1
        self._context.flags |= COPY_OPAQUE
        # DivX packs two pictures into one packet and an empty one behind it: decoders that begin in between lose track.
        packed = container.format.name == "avi" and stream.codec.canonical_name == "mpeg4"
        # Each packet gives the frame that is shown with it, be it one that was decoded long before (VP9, 6.1).
        self._at_once = stream.codec.canonical_name == "vp9"
        self._unpack = av.bitstream.BitStreamFilterContext("mpeg4_unpack_bframes", stream) if packed else None

    def decode(self, packet: av.Packet | None, row: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Rows and frames that come out when packet `row` goes in; None at the end. Raises FFmpegError."""
        if packet is not None:
            # An object of its own: PyAV knows it by its address, and a number may be shared with another decoder.
            packet.opaque = [row]
        parts = self._unpack.filter(packet) if self._unpack else [packet]
        for part in [*parts, None] if packet is None and self._unpack else parts:
            for frame in self._context.decode(part):
                came = row if self._at_once else frame.opaque[0] if frame.opaque else NO_ROW
                yield came, frame
