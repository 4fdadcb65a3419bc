"""Frames of a movie by its index: decoded from a packet that it is clean to begin with, each known by its packet.

After a seek a container may be anywhere; where it is shows in the packets themselves, by their place in the file and
their size. A frame counts only when nothing that it refers to was lost: it must come, in order of storage and of
showing, after an entry from which on every packet decoded without a complaint.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
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
MOST_HELD = 64  # frames waiting for those that they may refer to; no codec lets more wait than 16
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
        # Of what is stored up to a row, the frame that is shown last: by then all that it may refer to has come out.
        self._highest = np.maximum.accumulate(self._number)
        self._frames: Iterator[tuple[int, av.VideoFrame | None]] = iter(())
        self._waiting: deque[tuple[int, av.VideoFrame | None]] = deque()  # came out for a later read
        # The last shown frame that came out of `_frames`; those before it won't come any more.
        self._came = -1
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
        self._go_to(min(wanted))
        last, reached = max(wanted), self._came
        # Frames whose references may still turn out to be damaged: number, row and frame.
        held: list[tuple[int, int, av.VideoFrame]] = []
        ahead: list[tuple[int, av.VideoFrame | None]] = []  # came out for a later read
        frames = self._coming()
        try:
            while wanted and (reached <= last or held):
                row, frame = next(frames, (NO_ROW, None))
                if frame is None and row != NO_ROW:
                    insort(self._errors, row)
                    continue
                number = int(self._number[row]) if row >= 0 else -1
                if frame is not None and number >= 0:
                    if number > last:
                        ahead.append((row, frame))
                    elif number in wanted and number > reached:
                        # Out of its order, its time would not be what the index says.
                        held.append((number, row, frame))
                    reached = max(reached, number)
                    self._came = max(self._came, min(number, last))
                ended = frame is None and row == NO_ROW
                sure = [h for h in held if ended or self._highest[h[1]] <= reached or len(held) > MOST_HELD]
                for known in sure:
                    held.remove(known)
                    if self._exact(known[1]):
                        picture = self.index.rendering.picture(known[2], size, self.deinterlace)
                        yield wanted.pop(known[0]), picture, ""
                if ended:
                    break
        finally:
            self._waiting.extendleft(reversed(ahead))
        for number, at in sorted(wanted.items()):
            lost = reached > last or number <= self._came or bool(self._errors)
            yield at, None, f"frame {number}: {DAMAGED if lost else ENDED}"

    def _exact(self, row: int) -> bool:
        """Whether the row's frame refers to nothing that was lost since an entry."""
        time_s = self.index.start_s[self._number[row]]
        error = self._errors[at - 1] if (at := bisect_right(self._errors, row)) else -1
        if at := int(np.searchsorted(self.index.corrupt, row, side="right")):
            error = max(error, int(self.index.corrupt[at - 1]))
        for entry in range(int(np.searchsorted(self.index.entry_row, row, side="right")) - 1, -1, -1):
            begins = self.index.entry_row[entry]
            if begins < self._began or begins <= error:
                return False
            if self._ready_row[entry] <= row and self._ready_s[entry] <= time_s:
                return True
        return False

    # --- getting there

    def _go_to(self, number: int) -> None:
        """Opens the movie at an entry before a shown frame, unless that is still to come."""
        entries = self._entries_for(number)
        ahead_s = (
            self.index.entry_s[entries[0]] - self.index.start_s[self._came] if self._came >= 0 else np.inf
        )
        if not self._came < number or (self.index.entry_row[entries[0]] > self._fed and ahead_s > FORWARD_S):
            self._came, self._errors = -1, []
            self._waiting.clear()
            self._frames = self._opened_at(entries)

    def _coming(self) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """Rows and their frames from where reading is on; None for a row that is damaged."""
        while self._waiting:
            yield self._waiting.popleft()
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
        for entry in entries:
            row = int(self.index.entry_row[entry])
            if entry == 0 or self.index.pos[row] < 0:  # the beginning; or a place that couldn't be recognized
                continue
            for before in PACKETS_BEFORE if self.index.by_byte else (0,):
                with av.open(self.path) as container, suppress(FFmpegError):
                    stream = video_stream(container)
                    if self.index.by_byte:
                        places = self.index.pos[: row + 1 - before]
                        place = int(places.max(initial=0))  # not every packet has one
                        container.seek(place, unsupported_byte_offset=True)
                    else:
                        container.seek(int(self.index.entry_stamp[entry]), stream=stream)
                    packets = self._recognized(container, stream, row)
                    if (first := next(packets, None)) is not None:
                        self._began = row
                        yield from self._decoded(Decoder(container, stream), first, packets)
                        return
        with av.open(self.path) as container:  # from its beginning
            stream = video_stream(container)
            packets = self._recognized(container, stream, NO_ROW, expected=0)
            self._began = int(self.index.entry_row[0])
            yield from self._decoded(Decoder(container, stream), None, packets)

    def _recognized(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        begin: int,
        expected: int | None = None,
    ) -> Iterator[tuple[int, av.Packet]]:
        """Packets with their rows from row `begin` on; none if the container is already behind it.

        `expected` is the row of the first, where that is known. A packet that is none of the index's is `NO_ROW`.
        """
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
        place = -1 if packet.pos is None else packet.pos
        follows = expected is not None and expected < len(pos) and packet.size == size[expected]
        if follows and (place == pos[expected] or min(place, pos[expected]) < 0):
            return expected
        if place < 0:
            return None
        first = int(np.searchsorted(pos, place, side="left", sorter=self._by_pos))
        stop = int(np.searchsorted(pos, place, side="right", sorter=self._by_pos))
        found = [row for row in self._by_pos[first:stop] if size[row] == packet.size]
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
