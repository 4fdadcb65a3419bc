"""Frames of a movie by its index: decoded from a packet that it is clean to begin with, each known by its packet.

After a seek a container may be anywhere; where it is shows in the packets themselves, by their place in the file and
their size. A frame counts only when nothing that it refers to was lost: it must come, in order of storage and of
showing, after an entry from which on every packet decoded without a complaint.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import suppress

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from rhas.extract.decode.container import Decoder, readable_packets, video_stream
from rhas.extract.decode.index import NO_ROW, MovieIndex

FORWARD_S = 4.0  # an entry that is no further ahead is reached by decoding: opening and seeking costs more
PACKETS_BEFORE = (0, 8, 64)  # where packets of bytes aren't aligned with frames, a seek must end earlier
DAMAGED, ENDED = "damaged movie data", "the movie ends before this frame"


class FrameReader:
    """Reads frames of one movie; fastest in ascending order. Frames are the same in whatever order they are read."""

    def __init__(self, path: str, index: MovieIndex, deinterlace: bool = True):
        self.path, self.index, self.deinterlace = path, index, deinterlace
        self._number = np.full(len(index.pos), -1, np.int64)  # of a row: which shown frame it is
        there = index.row != NO_ROW
        self._number[index.row[there]] = np.flatnonzero(there)
        self._ready_row = index.entry_row + index.entry_wait
        self._ready_s = np.array([self._ready(e) for e in range(len(index.entry_row))])
        self._by_pos = np.argsort(index.pos, kind="stable")
        self._seekable = bool((index.pos >= 0).all())
        self._frames: Iterator[tuple[int, av.VideoFrame | None]] = iter(())
        self._waiting: tuple[int, av.VideoFrame | None] | None = None  # came out for a later read
        self._came = (
            -1
        )  # the last shown frame that came out of `_frames`; those before it won't come any more
        self._fed = -1  # the last row that `_frames` put into the decoder
        self._began = 0
        self._errors: list[int] = []

    def _ready(self, entry: int) -> float:
        """When the first frame is shown that is exact after decoding from an entry."""
        index = self.index
        if not index.entry_wait[entry]:
            return float(index.entry_s[entry])
        row = index.entry_row[entry] + index.entry_wait[entry]
        number = self._number[row] if row < len(self._number) else -1
        return float(index.start_s[number]) if number >= 0 else np.inf

    def read(
        self, indices: list[int], size: tuple[int, int]
    ) -> Iterator[tuple[int, NDArray[np.uint8] | None, str]]:
        """Yields (position in `indices`, frame [H, W, 3] or None, reason) for every index, each once.

        `indices` are ascending numbers of shown frames, `size` is (height, width) as displayed.
        """
        rows = self.index.row[indices]
        for at in np.flatnonzero(rows == NO_ROW).tolist():
            yield at, None, f"frame {indices[at]}: {ENDED}"
        wanted = {indices[at]: at for at in np.flatnonzero(rows != NO_ROW).tolist()}
        if not wanted:
            return
        last, ended = max(wanted), True
        for row, frame in self._from(min(wanted)):
            if frame is None:
                insort(self._errors, row)
                continue
            number = int(self._number[row]) if row >= 0 else -1
            if number < 0:
                continue
            if number > last:
                self._waiting, ended = (row, frame), False  # what is missing came before
                break
            in_order, self._came = number > self._came, max(self._came, number)
            # Out of its order, a frame's time is not what the index says.
            if number in wanted and in_order and self._exact(row):
                yield wanted.pop(number), self.index.rendering.picture(frame, size, self.deinterlace), ""
            if not wanted:
                return
        for number, at in sorted(wanted.items()):
            lost = not ended or number <= self._came or bool(self._errors)
            yield at, None, f"frame {number}: {DAMAGED if lost else ENDED}"

    def _exact(self, row: int) -> bool:
        """Whether the row's frame refers to nothing that was lost since an entry."""
        time_s = self.index.start_s[self._number[row]]
        error = self._errors[at - 1] if (at := bisect_right(self._errors, row)) else -1
        for entry in range(int(np.searchsorted(self.index.entry_row, row, side="right")) - 1, -1, -1):
            begins = self.index.entry_row[entry]
            if begins < self._began or begins <= error:
                return False
            if self._ready_row[entry] <= row and self._ready_s[entry] <= time_s:
                return True
        return False

    # --- getting there

    def _from(self, number: int) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """Rows and their frames from an entry at or before a shown frame on; None for a row that is damaged."""
        entries = self._entries_for(number)
        ahead_s = (
            self.index.entry_s[entries[0]] - self.index.start_s[self._came] if self._came >= 0 else np.inf
        )
        if not self._came < number or (self.index.entry_row[entries[0]] > self._fed and ahead_s > FORWARD_S):
            self._waiting, self._came, self._errors = None, -1, []
            self._frames = self._opened_at(entries)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            yield waiting
        for came in self._frames:  # noqa: UP028  `yield from` would end it together with this generator
            yield came

    def _entries_for(self, number: int) -> list[int]:
        """Entries from which a shown frame comes out exact: the nearest, then ones further and further back."""
        row, time_s = self.index.row[number], self.index.start_s[number]
        last = int(np.searchsorted(self._ready_row, row, side="right")) - 1
        while last > 0 and self._ready_s[last] > time_s:
            last -= 1
        found, step = [max(last, 0)], 1
        while found[-1] > 0:
            found.append(max(0, found[-1] - step))
            step *= 2
        return found

    def _opened_at(self, entries: list[int]) -> Iterator[tuple[int, av.VideoFrame | None]]:
        for entry in entries if self._seekable else [0]:
            row = int(self.index.entry_row[entry])
            if entry == 0 or not self._seekable:
                break
            for before in PACKETS_BEFORE if self.index.by_byte else (0,):
                with av.open(self.path) as container, suppress(FFmpegError):
                    stream = video_stream(container)
                    if self.index.by_byte:
                        container.seek(
                            int(self.index.pos[max(0, row - before)]), unsupported_byte_offset=True
                        )
                    else:
                        container.seek(int(self.index.entry_stamp[entry]), stream=stream)
                    packets = self._recognized(container, stream, row)
                    if (first := next(packets, None)) is not None:
                        self._began = row
                        yield from self._decoded(Decoder(container, stream), first, packets)
                        return
        with av.open(self.path) as container:  # from its beginning, where rows are known by counting
            stream = video_stream(container)
            packets = enumerate(readable_packets(container, stream))
            self._began = int(self.index.entry_row[0])
            yield from self._decoded(Decoder(container, stream), None, packets)

    def _recognized(
        self, container: av.container.InputContainer, stream: av.VideoStream, begin: int
    ) -> Iterator[tuple[int, av.Packet]]:
        """Packets with their rows from row `begin` on; none if the container is already behind it."""
        expected = None
        for packet in readable_packets(container, stream):
            row = self._row(packet, expected)
            if row is None:
                if expected is not None:
                    yield NO_ROW, packet
                continue
            expected = row + 1
            if row < begin:
                continue
            if row > begin and begin >= 0:
                return
            begin = -1
            yield row, packet

    def _row(self, packet: av.Packet, expected: int | None) -> int | None:
        """Which row a packet is: the expected one, or the only one at its place and of its size."""
        pos, size = self.index.pos, self.index.size
        follows = expected is not None and expected < len(pos)
        if follows and (packet.pos, packet.size) == (pos[expected], size[expected]):
            return expected
        ordered = self._by_pos
        first = int(np.searchsorted(pos, packet.pos, side="left", sorter=ordered))
        stop = int(np.searchsorted(pos, packet.pos, side="right", sorter=ordered))
        found = [row for row in ordered[first:stop] if size[row] == packet.size]
        return int(found[0]) if len(found) == 1 else None

    def _decoded(
        self,
        decoder: Decoder,
        first: tuple[int, av.Packet] | None,
        packets: Iterator[tuple[int, av.Packet]],
    ) -> Iterator[tuple[int, av.VideoFrame | None]]:
        row = self._fed = -1
        while True:
            row, packet = first or next(packets, (NO_ROW, None))
            first = None
            if packet is not None:
                if row == NO_ROW:
                    row = self._fed + 1
                    yield row, None  # a packet that the index doesn't know: something was lost
                self._fed = row
            try:
                for came, frame in decoder.decode(packet, row):
                    if frame.is_corrupt and came >= 0:
                        yield came, None
                    yield came, frame
            except FFmpegError:
                yield max(row, 0) if packet is not None else self._fed, None
            if packet is None:
                return
