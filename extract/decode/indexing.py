"""Makes a movie's index, in one pass over its packets.

In: a file. Out: a `MovieIndex`. The pass also takes the digest of the file's bytes. Only the first frames are decoded,
to see what pictures look like and which come first; and all of them where a container has no stamps, so that nothing
but decoding tells which frame is shown when.
"""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.format import Flags
from numpy.typing import NDArray

from rhas.extract.decode import clock
from rhas.extract.decode.container import Decoder, readable_packets, video_stream
from rhas.extract.decode.entries import entry_reader, is_hidden, is_reference, parameters
from rhas.extract.decode.index import NO_ROW, MovieFacts, MovieIndex
from rhas.extract.decode.picture import Orientation, Rendering, assumed_matrix, named
from rhas.extract.decode.sampling import MAX_FRAMES, MAX_MOVIE_S
from rhas.manifests.common.digest import DigestedFile, file_key

TRIED = 16  # frames decoded to see what pictures look like, and which come first
TRIED_ROWS = 1024  # packets after which a movie without a frame is none
IO_BYTES = 1 << 20
# Of the table of packets.
COLUMNS = (
    "pts", "dts", "duration", "pos", "size", "key", "entry", "hidden", "reference", "corrupt", "another",
)  # fmt: skip
MOST_WITHOUT_STAMPS = 0.6  # of packets: of field pictures every other one has none

# What decord can be trusted with at all; of such movies, those whose packets show it.
DECORD_CONTAINERS = ("mov,mp4", "matroska")
DECORD_CODECS = ("h264", "hevc", "vp8", "vp9")
DECORD_FORMATS = ("yuv420p", "yuvj420p")


def build_index(path: str) -> MovieIndex:
    """Reads the movie once. Raises FFmpegError, OSError or ValueError for what is no movie."""
    with DigestedFile(path) as file:
        with av.open(file, mode="r", buffer_size=IO_BYTES) as container:
            seen = _Pass(container)
            seen.run()
        digest = file.digest()
        _, mtime_ns = file_key(path)
    without = (seen.table["pts"] == clock.NO_STAMP).mean()
    if seen.order is None and without:
        # Found out on the way: once more, decoding.
        with av.open(path) as container:
            again = _Pass(container, decode_all=True)
            again.run()
        if without > MOST_WITHOUT_STAMPS:
            seen.order = again.order
        else:
            seen.fill(again.order or [])
    return seen.index(digest, file.size, mtime_ns)


class _Pass:
    """One pass over a container's packets: a table of them, the first frames, and all frames where that is needed.

    Nothing of the container is asked once it may be closed: PyAV would crash.
    """

    def __init__(self, container: av.container.InputContainer, decode_all: bool = False):
        self.container = container
        self.stream = stream = video_stream(container)
        self.extradata = stream.codec_context.extradata
        self.decoder = Decoder(container, stream)
        self.base = stream.time_base or Fraction(1, 1000)
        flags = Flags(container.format.flags)
        self.clock_may_jump = Flags.ts_discont in flags
        self.by_byte = self.clock_may_jump and Flags.no_byte_seek not in flags
        self.seek_by = "pts" if Flags.seek_to_pts in flags else "dts"
        # Nothing but decoding tells in which order frames are shown where there are no stamps, or only counts.
        self.counts = Flags.no_timestamps in flags
        unordered = self.counts or (container.format.name == "avi" and stream.codec.reorder)
        self.order: list[int] | None = [] if decode_all or unordered else None
        self.head: list[tuple[int, av.VideoFrame]] = []
        self.errors: set[int] = set()  # rows at which the decoder complained, among those that were decoded
        self.tried = 0
        self.table: dict[str, NDArray[np.int64]] = {}
        self.average_rate = float(stream.average_rate or stream.guessed_rate or 25)
        if self.counts and stream.codec_context.framerate:
            self.average_rate = float(stream.codec_context.framerate)  # as its headers say, where they do
        self.claimed_s = float((stream.duration or 0) * self.base)
        self.container_start = container.start_time
        self.container_name, self.codec = container.format.name, stream.codec.canonical_name
        self.intra_only = stream.codec.intra_only
        self.aspect = Fraction(stream.sample_aspect_ratio or 1)

    def run(self) -> None:
        """Raises ValueError when there is no frame to be had."""
        codec, extradata = self.codec, self.extradata
        entry_of = entry_reader(codec, extradata)
        rows, recording = [], b""
        for number, packet in enumerate(readable_packets(self.container, self.stream)):
            data = memoryview(packet)
            entry = None
            if packet.is_keyframe:
                entry = entry_of(data) if entry_of else _Believed
            another = False
            if entry is not None and self.clock_may_jump:
                own = parameters(codec, data)
                another, recording = bool(recording) and own != recording, own
            hidden = packet.is_discard or is_hidden(codec, data)
            rows.append((
                clock.NO_STAMP if packet.pts is None else packet.pts,
                clock.NO_STAMP if packet.dts is None else packet.dts,
                packet.duration or 0, -1 if packet.pos is None else packet.pos, packet.size, packet.is_keyframe,
                -1 if entry is None else 2 * entry.wait + entry.closed, hidden,
                codec != "h264" or is_reference(data, extradata), packet.is_corrupt, another,
            ))  # fmt: skip
            if self.order is not None or self._trying():
                self._decode(packet, number)
            if len(rows) > 2 * MAX_FRAMES:
                raise ValueError(f"more than {2 * MAX_FRAMES} packets")
        if self.order is not None or self._trying():
            self._decode(None, len(rows))
        if not rows or not self.head:
            raise ValueError("no frame of the movie can be decoded")
        self.table = dict(zip(COLUMNS, np.array(rows, dtype=np.int64).T, strict=True))
        if entry_of is None and len(rows) > 1 and self.table["key"].all() and not self.intra_only:
            self.table["entry"][1:] = -1  # a muxer that marks everything

    def _trying(self) -> bool:
        return len(self.head) < TRIED and self.tried < TRIED_ROWS

    def _decode(self, packet: av.Packet | None, number: int) -> None:
        self.tried = number + 1
        try:
            for row, frame in self.decoder.decode(packet, number):
                if self.order is not None:
                    self.order.append(row)
                if len(self.head) < TRIED:
                    self.head.append((row, frame))
                if frame.is_corrupt:
                    self.errors.add(row)
        except FFmpegError:
            self.errors.add(number)

    # --- from the table to the index

    def index(self, digest: str, size: int, mtime_ns: int) -> MovieIndex:
        """Raises ValueError when no time can be found for any frame."""
        if self.order is not None:
            times, shown, cuts = self._by_decoding()
        else:
            times, shown, cuts = self._by_stamps()
        shown = shown[~self._lead_in(times, shown)]
        if not len(shown):
            raise ValueError("the movie has no video frames with time stamps")
        first = times[shown[0]]
        start_s = np.maximum.accumulate((times[shown] - first) * float(self.base))
        frame_s = 1 / self.average_rate
        last_s = float(self.table["duration"][shown[-1]] * self.base) or frame_s
        # By time, not by count: where frames are stored out of order, the cut leaves gaps before its end.
        before_s = float((first - times[times != clock.NO_STAMP].min()) * self.base)
        claimed = 0.0 if cuts or self.counts else self.claimed_s - before_s
        missing = max(0, round((claimed - start_s[-1] - last_s) / frame_s))
        if claimed > MAX_MOVIE_S or missing > MAX_FRAMES:
            missing = min(missing, 1)  # a promise that can't be true
        end_s = float(start_s[-1] + last_s)
        promised_s = end_s + np.arange(missing) * frame_s
        start_s = np.concatenate([start_s, promised_s])
        end_s = float(promised_s[-1] + last_s) if missing else end_s
        entries = self._entries(times)
        seek = self.table[self.seek_by if (self.table["dts"] != clock.NO_STAMP).all() else "pts"]
        joined_at_s = tuple(round(float((times[cut] - first) * self.base), 3) for cut in cuts)
        facts, rendering = self._facts(
            digest, size, len(start_s), len(self.table["pts"]) - len(shown), float(times[shown[0]] * self.base) if not
            cuts else float(self.table["pts"][shown[0]] * self.base), joined_at_s,
        )  # fmt: skip
        return MovieIndex(
            facts=facts,
            rendering=rendering,
            start_s=start_s,
            end_s=end_s,
            row=np.concatenate([shown, np.full(missing, NO_ROW)]),
            pos=self.table["pos"],
            size=self.table["size"],
            entry_row=entries,
            entry_s=(times[entries] - first) * float(self.base),
            entry_wait=self._waits(entries),
            entry_stamp=seek[entries],
            corrupt=self._corrupt(cuts),
            by_byte=self.by_byte,
            for_decord=self._for_decord(times, shown, missing, facts),
            mtime_ns=mtime_ns,
        )

    def _by_stamps(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
        """Stamps [R] on one clock, shown rows in their order, and the rows at which the clock was cut."""
        table, per_second = self.table, float(1 / self.base)
        pts = table["pts"]
        dts = np.where(table["dts"] == clock.NO_STAMP, pts, table["dts"])
        damaged = clock.outliers(pts, clock.LARGEST_OUTLIER_S * per_second)
        dips = clock.outliers(dts, max(clock.LARGEST_DECODING_OUTLIER_S * per_second, 3 * self._step(dts)))
        sound = np.where(damaged | dips, clock.NO_STAMP, dts)
        back = None
        if not self.clock_may_jump:
            counts = ~damaged & (table["hidden"] == 0)  # what an edit list hides may have any stamp
            back = clock.restarts(
                np.where(counts, pts, pts.min()), (table["entry"] >= 0) & counts, per_second
            )
        joins = clock.joins(sound, table["duration"], per_second, back)
        cuts = [join.row for join in joins]
        rows = np.arange(len(pts))
        part = np.searchsorted(cuts, rows, side="right")
        shift = np.array([0, *(join.shift for join in joins)])[part]
        pts, dts = pts + shift, dts + shift
        shown = rows[~table["hidden"].astype(bool) & ~damaged]
        # Of two with the same stamp, one that waits in the decoder comes out later.
        return pts, shown[np.lexsort((pts[shown] - dts[shown], pts[shown], part[shown]))], cuts

    def _by_decoding(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
        """The same where frames have the order in which they come out of the decoder.

        Their times are those of the container's slots, in order; rows that gave no frame stay where they are stored.
        """
        assert self.order is not None
        count, came = len(self.table["pts"]), _rows_of(self.order)
        place = np.full(count, np.nan)
        place[came] = np.arange(len(came))
        lost = np.flatnonzero(np.isnan(place) & ~self.table["hidden"].astype(bool))
        for row in lost[np.isin(lost, list(self.errors))]:  # damaged; others are empty, and never shown
            before = came[came < row]
            place[row] = place[before[-1]] + 0.5 if len(before) else -0.5
        shown = np.argsort(place, kind="stable")[: int((~np.isnan(place)).sum())].astype(np.int64)
        slots = self.table["dts"][np.sort(shown)]
        if self.counts or (slots == clock.NO_STAMP).any() or (np.diff(slots) <= 0).any():
            slots = np.round(np.arange(len(shown)) / (self.average_rate * float(self.base))).astype(np.int64)
        times = np.full(count, clock.NO_STAMP)
        times[shown] = slots
        return times, shown, []

    def fill(self, order: list[int]) -> None:
        """Gives stamps to packets without, in the order in which frames come out; those that give none are hidden.

        The second field of a picture is such a packet, and one whose stamp was lost.
        """
        pts, dts = self.table["pts"], self.table["dts"]
        without = pts == clock.NO_STAMP
        came = _rows_of(order)
        silent = np.ones(len(pts), bool)
        silent[came] = False
        self.table["hidden"] |= without & silent & ~np.isin(np.arange(len(pts)), list(self.errors))
        step = self._step(pts[came][pts[came] != clock.NO_STAMP])
        before = clock.NO_STAMP
        for row in came.tolist():
            if pts[row] == clock.NO_STAMP and before != clock.NO_STAMP:
                pts[row] = before + step
            before = pts[row]
        first = np.flatnonzero(pts != clock.NO_STAMP)
        if len(first):  # what is left is hidden, or stands before the first stamp
            left = pts == clock.NO_STAMP
            pts[left] = pts[first[np.maximum(np.searchsorted(first, np.flatnonzero(left)) - 1, 0)]]
        dts[dts == clock.NO_STAMP] = pts[dts == clock.NO_STAMP]

    @staticmethod
    def _step(stamps: NDArray[np.int64]) -> int:
        """The usual distance of stamps that ascend."""
        steps = np.diff(stamps)
        return int(np.median(steps[steps > 0])) if (steps > 0).any() else 0

    def _corrupt(self, cuts: list[int]) -> NDArray[np.int64]:
        """Rows that lost bytes on the way; where recordings were joined, only the count of their cells breaks off."""
        rows, dts = np.flatnonzero(self.table["corrupt"]), self.table["dts"]
        begins = self.table["another"].astype(bool)  # the first row of another recording
        begins[cuts] = True
        begins[1:] |= np.abs(np.diff(dts)) > 3 * self._step(dts)
        begins = np.append(begins, [True, True])  # the end
        return rows[~(begins[rows + 1] | begins[rows + 2])]  # the mark may stand at the last row but one

    def _lead_in(self, times: NDArray[np.int64], shown: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the shown rows come before the first picture that can be decoded: players don't show them."""
        entries = np.flatnonzero(self.table["entry"] >= 0)
        if not len(entries) or self.table["key"][: entries[0]].any() or entries[0] >= self.tried:
            return np.zeros(len(shown), bool)  # no picture, or a damaged one: it should have been there
        first, came = entries[0] + self._waits(entries[:1])[0], [row for row, _ in self.head]
        early = (shown < first) | ((times[shown] < times[first]) & ~np.isin(shown, list(self.errors)))
        return early & (shown < self.tried) & ~(np.isin(shown, came) & (shown >= first))

    def _entries(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        usable = (self.table["entry"] >= 0) & (times != clock.NO_STAMP)
        return np.flatnonzero(usable)

    def _waits(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows from each entry to the one that is exact: counted are those that others refer to (H.264 D.2.8)."""
        references = np.flatnonzero(self.table["reference"])
        waits = np.zeros(len(entries), np.int64)
        for at in np.flatnonzero(self.table["entry"][entries] >= 2):
            counted = int(np.searchsorted(references, entries[at])) + int(
                self.table["entry"][entries[at]] // 2
            )
            waits[at] = (
                references[counted] if counted < len(references) else len(self.table["pts"])
            ) - entries[at]
        return waits

    def _for_decord(
        self, times: NDArray[np.int64], shown: NDArray[np.int64], missing: int, facts: MovieFacts
    ) -> bool:
        """Whether decord finds each frame again, and shows it as a player does.

        It counts packets, goes back to those that are marked as keys, and knows no other orientation, aspect, depth
        or matrix than the plainest.
        """
        keys = np.flatnonzero(self.table["key"])
        later = np.minimum.accumulate(times[::-1])[::-1]  # the earliest that is stored from a row on
        clean = (self.table["entry"][keys] == 1) & (later[keys] == times[keys])
        return bool(
            facts.container.startswith(DECORD_CONTAINERS)
            and facts.codec in DECORD_CODECS
            and len(shown) == len(times) and not missing and self.order is None and not facts.joined_at_s
            and len(keys) and keys[0] == 0 and clean.all()
            and (np.diff(times[shown]) > 0).all()
            and facts.orientation == "upright" and facts.sample_aspect == "1:1" and not facts.interlaced
            and facts.pixel_format in DECORD_FORMATS
            and facts.coded_height % 2 == facts.coded_width % 2 == 0
            and facts.matrix in ("ITU601", "ITU624", "SMPTE170M", "ITU709") and not (facts.matrix_assumed and
            facts.matrix == "ITU709")
        )  # fmt: skip

    def _facts(
        self, digest: str, size: int, frames: int, hidden: int, start_s: float, joined_at_s: tuple[float, ...]
    ) -> tuple[MovieFacts, Rendering]:
        frame = self.head[0][1]
        aspect = self.aspect
        orientation = _orientation(frame)
        matrix, assumed = assumed_matrix(frame)
        height, width = (frame.width, frame.height) if orientation.sideways else (frame.height, frame.width)
        width = max(1, round(width / aspect if orientation.sideways else width * aspect))
        start = self.container_start
        facts = MovieFacts(
            container=self.container_name,
            codec=self.codec,
            bytes=size,
            digest=digest,
            rate=round(self.average_rate, 6),
            frames=frames,
            hidden=hidden,
            height=height,
            width=width,
            coded_height=frame.height,
            coded_width=frame.width,
            sample_aspect=f"{aspect.numerator}:{aspect.denominator}",
            orientation=str(orientation),
            interlaced=any(frame.interlaced_frame for _, frame in self.head),
            pixel_format=frame.format.name,
            matrix=matrix,
            matrix_assumed=assumed,
            range=named(av.video.reformatter.ColorRange, frame.color_range),
            transfer=named(av.video.reformatter.ColorTrc, frame.color_trc),
            primaries=named(av.video.reformatter.ColorPrimaries, frame.color_primaries),
            start_s=round(start_s, 6),
            container_start_s=round(start_s if start is None else start / av.time_base, 6),
            joined_at_s=joined_at_s,
            order="stamps" if self.order is None else "decoding",
        )
        return facts, Rendering(orientation, matrix)


def _rows_of(order: list[int]) -> NDArray[np.int64]:
    """The rows that came out of a decoder, each once, in that order."""
    return np.array([row for row in dict.fromkeys(order) if row >= 0], dtype=np.int64)


class _Believed:
    """An entry of a codec whose bits are not looked at."""

    closed, wait = False, 0


def _orientation(frame: av.VideoFrame) -> Orientation:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return Orientation.of_matrix(struct.unpack("<9i", bytes(data)))
    return Orientation()
