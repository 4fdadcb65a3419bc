"""Damaged movies for tests: a few healthy movies in several containers, and hundreds of ways to spoil their bytes.

In: a folder and a seed. Out: cases with the file and with what is known of it: which frames lie wholly outside
the damage, and so must be had with the right picture. Every frame carries its number (`numbered_movies`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
from numbered_movies import picture

FRAMES, FPS, GROUP = 40, 30, 10
HEIGHT, WIDTH = 48, 96
B_FRAMES = 2  # at most, in a row: so many frames wait in the decoder for the next, perhaps damaged one
# File name, codec, pixel format and options: containers with an index in front, behind and without any.
BASES = (
    ("behind.mp4", "libx264", "yuv420p", {"bf": "0"}),
    ("front.mp4", "libx264", "yuv420p", {"bf": "2"}),
    ("h264.mkv", "libx264", "yuv420p", {"bf": "2"}),
    ("vp9.webm", "libvpx-vp9", "yuv420p", {}),
    ("mpeg4.avi", "mpeg4", "yuv420p", {}),
    ("mpeg4.mov", "mpeg4", "yuv420p", {"bf": "2"}),
    ("h264.ts", "libx264", "yuv420p", {"bf": "2"}),
    ("mpeg2.mpg", "mpeg2video", "yuv420p", {}),
)


@dataclass(frozen=True)
class Stored:
    """One frame in the file: its number, its bytes [start, stop), and the key frame that it hangs on."""

    number: int
    start: int
    stop: int
    group: int


@dataclass(frozen=True)
class Base:
    name: str
    data: bytes
    stored: tuple[Stored, ...]

    def outside(self, first: int, stop: int) -> frozenset[int]:
        """Frames of groups that no byte of [first, stop) belongs to, and that nothing beside them needs.

        Of a program stream nothing is known: few of its frames have a time stamp, the others are counted.
        """
        if self.name.endswith(".mpg"):
            return frozenset()
        groups = {s.group for s in self.stored if s.start < stop and first < s.stop}
        hit = {s.number for s in self.stored if s.group in groups}
        near = {number + by for number in hit for by in range(-B_FRAMES, B_FRAMES + 1)}
        return frozenset(range(FRAMES)) - near


@dataclass(frozen=True)
class Case:
    """`intact`: frames that must be had. `begins`: the first frame is in its place, so time 0 is frame 0."""

    name: str
    kind: str
    path: Path
    intact: frozenset[int] = frozenset()
    begins: bool = False


def write(
    path: Path, codec: str, pixels: str = "yuv420p", options: dict[str, str] | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH), frames: int = FRAMES, gap: int = 1, start: int = 0,
) -> Path:  # fmt: skip
    """A movie whose frame i is `picture(i)`, shown at (start + i * gap) / FPS seconds."""
    in_front = {"movflags": "faststart"} if path.name.startswith("front") else {}
    with av.open(str(path), "w", options=in_front) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.gop_size = GROUP
        fast = {"preset": "ultrafast", "crf": "20", "g": str(GROUP)} if codec == "libx264" else {}
        stream.options = fast | (options or {})
        if codec.startswith("mpeg"):
            stream.bit_rate = 2_000_000
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = start + number * gap, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bases(folder: Path) -> list[Base]:
    found = []
    for name, codec, pixels, options in BASES:
        path = write(folder / name, codec, pixels, options)
        found.append(Base(name, path.read_bytes(), _stored(path)))
    return found


def _stored(path: Path) -> tuple[Stored, ...]:
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
    number = {pts: i for i, pts in enumerate(sorted(p.pts for p in packets if p.pts is not None))}
    # A container that cuts frames into packets of its own (TS, PS) says only where each frame begins.
    starts, at = [], 0
    for packet in packets:
        found = data.find(bytes(packet), at)
        at = found if found >= 0 else max(at, packet.pos or 0)
        starts.append(at)
    whole = all(data.startswith(bytes(p), start) for p, start in zip(packets, starts, strict=True))
    stops = [a + p.size for p, a in zip(packets, starts, strict=True)] if whole else [*starts[1:], len(data)]
    groups = accumulate(int(packet.is_keyframe) for packet in packets)
    return tuple(
        Stored(number[p.pts], start, stop, group)
        for p, start, stop, group in zip(packets, starts, stops, groups, strict=True)
        if p.pts is not None
    )


def damaged(base: Base, folder: Path, seed: int) -> Iterator[Case]:
    """The base movie, spoilt in some forty ways."""
    chance = random.Random(f"{base.name} {seed}")
    folder.mkdir(exist_ok=True)
    data, size = base.data, len(base.data)
    first, last = base.stored[0].start, base.stored[-1].stop
    suffix = Path(base.name).suffix

    def case(kind: str, spoilt: bytes, intact: frozenset[int] = frozenset(), name: str = "") -> Case:
        number = len(list(folder.iterdir()))
        path = folder / (name or f"{number:03d}_{kind.replace(' ', '_')}{suffix}")
        path.write_bytes(spoilt)
        begins = bool(intact) and 0 in intact
        return Case(f"{base.name}: {path.name}", kind, path, intact, begins)

    everything = base.outside(0, 0)
    frames = [stored for stored in base.stored if stored.stop > stored.start]
    yield case("wrong extension", data, everything, f"movie{'.mp4' if suffix != '.mp4' else '.avi'}")
    yield case("wrong extension", data, everything, "movie.txt")
    yield case("garbage behind", data + chance.randbytes(5000))
    for cut in sorted(chance.sample(range(1, size), 12)):
        yield case("cut off", data[:cut])
    for _ in range(6):
        at = chance.randrange(0, min(first, 512) or 512)
        yield case("flipped in front", _changed(data, at, bytes([data[at] ^ 1 << chance.randrange(8)])))
    for _ in range(8):
        at = chance.randrange(size - 300 if size - last < 100 else last, size)
        yield case("flipped behind", _changed(data, at, bytes([data[at] ^ 0xFF])))
    for _ in range(8):
        frame = chance.choice(frames)
        at, length = chance.randrange(frame.start, frame.stop), chance.choice((1, 8, 40))
        length = min(length, frame.stop - at)
        intact = base.outside(at, at + length)
        flipped = bytes(byte ^ 0xFF for byte in data[at : at + length])
        yield case("flipped in a frame", _changed(data, at, flipped), intact)
    for filling in (b"\0", b"\xff"):
        for _ in range(3):
            frame = chance.choice(frames)
            whole = filling * (frame.stop - frame.start)
            yield case(
                "frame overwritten", _changed(data, frame.start, whole), base.outside(frame.start, frame.stop)
            )
    for _ in range(4):
        at = chance.randrange(size)
        yield case("zeroed range", _changed(data, at, bytes(min(size - at, chance.randrange(100, 2000)))))
    for _ in range(3):
        a, b = sorted(chance.sample(range(size), 2))
        yield case("middle cut out", data[:a] + data[b:])
    yield case("middle twice", data[: size // 2] + data[size // 3 :])


def _changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]
