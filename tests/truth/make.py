"""Makes the numbered movies in movies/ and shown.json, which says what ffmpeg shows of each.

    python -m tests.truth.make [MOVIE ...]

makes all movies, or only the named ones. Needs ffmpeg (made with 5.1.9), mkvmerge, mpeg2enc and mplex (Debian's
packages ffmpeg, mkvtoolnix, mjpegtools) and PyAV; the tests only read what is committed. Encoders may give other
bytes elsewhere; the truth is read again from whatever was made.

Movies without colour tags are encoded with BT.601 in limited range, except where a kind says otherwise.
"""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.truth import field_pictures
from tests.truth.numbers import aspect, corners, draw, read

HERE = Path(__file__).parent
MOVIES, SHOWN = HERE / "movies", HERE / "shown.json"
WIDTH, HEIGHT, FRAMES, RATE, GROUP = 192, 96, 120, "30", 24
# Joined recordings: the second one's numbers start here.
SECOND = 500


# Running the tools; options are written as on a command line


def ffmpeg(options: str, stdin: bytes | None = None) -> None:
    command = ["ffmpeg", "-y", "-loglevel", "error", "-fflags", "+bitexact", *shlex.split(options)]
    subprocess.run(command, input=stdin, check=True)


def encode(
    path: Path, options: str, n: int = FRAMES, first: int = 0, rate: str = RATE,
    size: tuple[int, int] = (WIDTH, HEIGHT), sar: Fraction = Fraction(1),
    pictures: Iterable[np.ndarray] | None = None, audio: bool = False, vf: str = "null",
) -> None:  # fmt: skip
    """Encodes n numbered pictures, or the given ones; `vf` are filters on the way."""
    if pictures is None:
        pictures = (draw(i, *size, sar) for i in range(first, first + n))
    raw = f"-f rawvideo -pix_fmt rgb24 -s {size[0]}x{size[1]} -r {rate} -i -"
    sound = f"-f lavfi -i sine=r=8000:d={float(n / Fraction(rate))} -b:a 16k" if audio else ""
    fixed = (
        f"-vf '{vf},setsar={sar.numerator}/{sar.denominator}' -threads 1 -map_metadata -1 -fflags +bitexact"
    )
    ffmpeg(f"{raw} {sound} {fixed} {options} {path}", stdin=b"".join(p.tobytes() for p in pictures))


def run(command: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(shlex.split(command), input=stdin, check=True, stdout=subprocess.PIPE)
    return done.stdout


# Codecs


def x264(params: str, pix_fmt: str = "yuv420p", codec: str = "libx264") -> str:
    params = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:b-adapt=0:{params}"
    return f"-c:v {codec} -preset medium -crf 18 -pix_fmt {pix_fmt} -x264-params {params}"


def x265(params: str, pix_fmt: str = "yuv420p") -> str:
    fixed = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:log-level=error:pools=1:frame-threads=1"
    return f"-c:v libx265 -preset fast -crf 20 -pix_fmt {pix_fmt} -x265-params {fixed}:{params}"


def mpeg(codec: str, b: int = 2, q: int = 5) -> str:
    """FFmpeg's own encoders of the MPEG family; without `+cgop` their groups with B-frames are open."""
    return f"-c:v {codec} -q:v {q} -g {GROUP} -bf {b} -b_strategy 0 -sc_threshold 1000000000"


def at(seconds: float) -> str:
    """Lets a transport stream's clock start there."""
    return f"-output_ts_offset {seconds} -muxdelay 0"


H264, HEVC = x264("bframes=2"), x265("open-gop=0:bframes=3")
H264_OPEN, HEVC_OPEN = x264("open-gop=1:bframes=3:b-pyramid=none"), x265("open-gop=1:bframes=4")
HVC1 = " -tag:v hvc1"
REFRESH = x264("intra-refresh=1:bframes=2:keyint=48:ref=1")
MBAFF = x264("interlaced=1:bframes=2") + " -flags +ildct+ilme"
MPEG2 = mpeg("mpeg2video")
INTERLACED = " -flags +ildct+ilme -top 1"
VPX = "-pix_fmt yuv420p -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 -arnr-maxframes 7 -arnr-strength 4 -g 48"
MJPEG = "-c:v mjpeg -q:v 8 -pix_fmt"
PQ = " -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc"
HLG = " -color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc"
BT709 = " -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv"
AAC = " -c:a aac"

# Stamps as the filters make them, not a frame in each tick of the rate.
AS_STAMPED = " -fps_mode passthrough -enc_time_base 1/90000"
UNEVEN = "setpts=(N+floor(N/7)*2+gte(N\\,40)*5+gte(N\\,80)*N)/30/TB"
STILL = "setpts=PTS+gte(N\\,48)*30/TB"
HOLES = "select=mod(n\\,5)*mod(n\\,7)"
PALETTE = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none"
DEINTERLACED = "bwdif=mode=send_frame"
WIDE = Fraction(16, 11)


# Ways of making a movie

Build = Callable[[Path], None]


def enc(options: str, **how: Any) -> Build:
    return lambda path: encode(path, options, **how)


def copied(options: str, before: str) -> Build:
    """Encodes, then copies the packets into the movie; `before` are options of the input."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.mp4"
            encode(base, options)
            ffmpeg(f"{before} -i {base} -c copy {path}")

    return build


def joined(options: str, then: str = "", **second: Any) -> Build:
    """Two recordings joined as `cat` does; the second one with the options of `then` behind."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            one, two = Path(folder) / f"one{path.suffix}", Path(folder) / f"two{path.suffix}"
            encode(one, options, n=72)
            encode(two, f"{options} {then}", n=72, first=SECOND, **second)
            path.write_bytes(one.read_bytes() + two.read_bytes())

    return build


def two_pass(options: str) -> Build:
    """libvpx places hidden frames best where it knows what comes."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            encode(Path("/dev/null"), f"{options} -passlogfile {folder}/log -pass 1 -f null")
            encode(path, f"{options} -passlogfile {folder}/log -pass 2")

    return build


def fields(options: str, top_first: bool = True, n: int = 90) -> Build:
    """Interlaced with movement: the first field of frame i shows i, the second one i + 1."""

    def woven() -> Iterator[np.ndarray]:
        for i in range(n):
            frame = draw(i, WIDTH, HEIGHT)
            second = 1 if top_first else 0
            frame[second::2] = draw(i + 1, WIDTH, HEIGHT)[second::2]
            yield frame

    order = "tff" if top_first else "bff"
    return lambda path: encode(path, options, pictures=woven(), vf=f"setfield={order}")


def field_movie(packets: list[tuple[bytes, field_pictures.Frame]], codec: str) -> Build:
    """Muxes field pictures, the two of a frame in one packet."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            raw.write_bytes(b"".join(data for data, _ in packets))
            options = {"fflags": "bitexact"}
            with av.open(str(raw), format=codec) as source, av.open(str(path), "w", options=options) as movie:
                stream = movie.add_stream_from_template(source.streams.video[0])
                for index, (data, frame) in enumerate(packets):
                    packet = av.Packet(data)
                    packet.stream, packet.time_base = stream, Fraction(1, field_pictures.RATE)
                    packet.pts, packet.dts, packet.is_keyframe = frame.number, index - 1, frame.kind == "I"
                    movie.mux(packet)

    return build


def pulldown(path: Path) -> None:
    """A movie on an NTSC disc: every other frame repeats a field. mplex gives stamps to few pictures."""
    with tempfile.TemporaryDirectory() as folder:
        raw, coded = Path(folder) / "movie.y4m", Path(folder) / "movie.m2v"
        encode(raw, "-pix_fmt yuv420p -f yuv4mpegpipe", rate="24000/1001", n=119)
        run(f"mpeg2enc -v 0 -f 3 -p -F 1 -b 600 -q 8 -a 1 -R 2 -g 12 -G 12 -o {coded}", raw.read_bytes())
        run(f"mplex -v 0 -f 3 -o {path} {coded}")


def packed_avi(path: Path) -> None:
    """DivX's B-frames in AVI: a packet holds a reference and the B-frame before it, then comes an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.avi"
        encode(plain, mpeg("mpeg4", b=1) + " -vtag DX50", n=FRAMES + 1, rate="25")
        options = {"fflags": "bitexact"}
        with av.open(str(plain)) as source, av.open(str(path), "w", options=options) as movie:
            stream = source.streams.video[0]
            packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
            out = movie.add_stream_from_template(stream)
            for number, data in enumerate(pack(packets)):
                packet = av.Packet(data)
                packet.stream, packet.time_base = out, Fraction(1, 25)
                packet.pts = packet.dts = number
                packet.is_keyframe = vop_type(data) == "I"
                movie.mux(packet)


def pack(packets: list[bytes]) -> Iterator[bytes]:
    # vop_coding_type P, no seconds passed, marker, 5 bits of time (25 a second), marker, vop_coded 0, stuffing.
    empty = b"\0\0\1\xb6" + int("0101" + "00001" + "10" + "01111", 2).to_bytes(2, "big")
    # Decoders take "p" at the end of the user data for packed.
    vop = packets[0].index(b"\0\0\1\xb6")
    waiting = packets[0][:vop] + b"\0\0\1\xb2DivX503b1393p" + packets[0][vop:]
    for packet in packets[1:]:
        if vop_type(packet) == "B":
            yield waiting + packet
            waiting = empty
        else:
            yield waiting
            waiting = packet
    yield waiting


def vop_type(packet: bytes) -> str:
    return "IPBS"[packet[packet.index(b"\0\0\1\xb6") + 4] >> 6]


def cut(options: str, key: int = 1) -> Build:
    """A broadcast switched on at its key packet number `key`: what its leading pictures need is missing."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.ts"
            encode(base, options)
            data = base.read_bytes()
        # The random access indicator marks a key packet's first cell; the first three cells are the tables.
        cells = range(0, len(data), 188)
        keys = [i for i in cells if data[i + 3] & 0x20 and data[i + 4] and data[i + 5] & 0x40]
        path.write_bytes(data[: 3 * 188] + data[keys[key] :])

    return build


def every_key(path: Path) -> None:
    """Without the table of sync samples, every sample is one by the standard."""
    encode(path, H264)
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))


def two_edits(path: Path) -> None:
    """An edit list of two pieces, one second each: from 0.5 s and from 2.5 s."""
    encode(path, H264)
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") - 4
    size, scale, delay = struct.unpack(">I", data[start : start + 4])[0], 15360, 1024
    entries = b"".join(struct.pack(">IiI", 1000, delay + scale * half // 2, 1 << 16) for half in (1, 5))
    grown = 16 + len(entries)
    data[start : start + size] = struct.pack(">I4sII", grown, b"elst", 0, 2) + entries
    # The boxes around it grow; the samples lie before them.
    for kind in (b"moov", b"trak", b"edts"):
        box = data.index(kind) - 4
        old = struct.unpack(">I", data[box : box + 4])[0]
        data[box : box + 4] = struct.pack(">I", old + grown - size)
    path.write_bytes(data)


def cover_first(path: Path) -> None:
    """A cover that is stream 0: in MP4 streams come in the order of the boxes, so `udta` goes before `trak`."""
    with tempfile.TemporaryDirectory() as folder:
        movie, cover, both = (Path(folder) / name for name in ("movie.mp4", "cover.jpg", "both.mp4"))
        encode(movie, H264)
        encode(cover, "-q:v 4", n=1, first=999)
        ffmpeg(f"-i {movie} -i {cover} -map 0 -map 1 -c copy -disposition:v:1 attached_pic {both}")
        data = both.read_bytes()
    start, size = next((start, size) for kind, start, size in boxes(data, 0, len(data)) if kind == b"moov")
    order = {b"mvhd": 0, b"udta": 1}
    inner = sorted(boxes(data, start + 8, start + size), key=lambda box: order.get(box[0], 2))
    moov = data[start : start + 8] + b"".join(data[at : at + length] for _, at, length in inner)
    path.write_bytes(data[:start] + moov + data[start + size :])


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start < end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        yield kind, start, size
        start += size


def oriented(a: int, b: int, c: int, d: int, sar: Fraction = Fraction(1)) -> Build:
    """A display matrix in the track's header: the picture's (x, y) is shown at (ax + cy, bx + dy)."""

    def build(path: Path) -> None:
        encode(path, H264, sar=sar, n=96)
        data = bytearray(path.read_bytes())
        head = data.index(b"tkhd") + 4
        head += 40 if data[head] == 0 else 52
        # Moved so that nothing is shown at negative places.
        x, y = -min(0, a * WIDTH) - min(0, c * HEIGHT), -min(0, b * WIDTH) - min(0, d * HEIGHT)
        matrix = (a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30)
        data[head : head + 36] = struct.pack(">9i", *matrix)
        path.write_bytes(data)

    return build


def through_pipe(path: Path) -> None:
    """Matroska written where the muxer can't go back: no cues, no duration."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.mkv"
        encode(base, H264)
        path.write_bytes(
            run(f"ffmpeg -loglevel error -i {base} -c copy -fflags +bitexact -f matroska pipe:1")
        )


def two_videos(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one.mp4", Path(folder) / "two.mp4"
        encode(one, H264)
        encode(two, H264, first=SECOND, size=(128, 64))
        ffmpeg(f"-i {one} -i {two} -map 0:v -map 1:v -c copy {path}")


def late_video(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.mp4"
        encode(base, H264 + AAC, audio=True)
        ffmpeg(f"-itsoffset 1.2 -i {base} -i {base} -map 0:v -map 1:a -c copy {path}")


def aspect_of_container(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.mkv"
        encode(base, H264, pictures=(draw(i, WIDTH, HEIGHT, WIDE) for i in range(96)))
        run(f"mkvmerge -q --deterministic 1 -o {path} --aspect-ratio 0:32/11 {base}")


# The kinds


@dataclass(frozen=True)
class Kind:
    """A movie: what is special about it, and how it is made."""

    what: str
    build: Build
    note: str = ""
    # Filters before reading: deinterlacing, where a frame's fields show two numbers.
    filters: str = ""


JOINED = "ffmpeg puts the second part right behind the first."

CODECS = {
    "h264_closed.mp4": Kind("H.264, closed groups with B-frames", enc(H264)),
    "h264_pyramid.mkv": Kind("H.264, B-pyramid, 16 references", enc(x264("bframes=8:b-pyramid=normal:ref=16"))),
    "h264_open.mp4": Kind("H.264, open groups: recovery points instead of IDR", enc(H264_OPEN)),
    "h264_open.mkv": Kind("H.264, open groups", enc(H264_OPEN)),
    "h264_open.ts": Kind("H.264, open groups", enc(H264_OPEN)),
    "h264_open_cut.ts": Kind(
        "H.264, starts at an open group whose leading pictures lack their references", cut(H264_OPEN),
        "Begins with the packet of frame 24; ffmpeg doesn't show its leading frames 21 to 23."),
    "h264_refresh.mp4": Kind("H.264, intra refresh: one IDR, then recovery points with a count", enc(REFRESH)),
    "h264_refresh.ts": Kind("H.264, intra refresh", enc(REFRESH)),
    "h264_refresh_cut.ts": Kind(
        "H.264, intra refresh, starts at a recovery point: no IDR at all", cut(REFRESH),
        "Begins with the packet of frame 48; ffmpeg shows nothing before the picture is whole at 66."),
    "hevc_open.mp4": Kind("HEVC, open groups: CRA with RASL pictures", enc(HEVC_OPEN + HVC1)),
    "hevc_open.mkv": Kind("HEVC, open groups", enc(HEVC_OPEN)),
    "hevc_open.ts": Kind("HEVC, open groups", enc(HEVC_OPEN)),
    "hevc_open_cut.ts": Kind(
        "HEVC, starts at a CRA whose RASL pictures can't be decoded", cut(HEVC_OPEN),
        "Begins with the packet of frame 24; ffmpeg doesn't show its leading frames 21 to 23."),
    "hevc_closed.mp4": Kind("HEVC, closed groups", enc(HEVC + HVC1)),
    "av1_altref.mp4": Kind(
        "AV1 by libaom, alternate references hidden in temporal units",
        enc("-c:v libaom-av1 -pix_fmt yuv420p -crf 35 -cpu-used 6 -g 48 -lag-in-frames 19")),
    "av1_svt.webm": Kind("AV1 by SVT", enc("-c:v libsvtav1 -pix_fmt yuv420p -crf 40 -preset 8 -g 48")),
    "vp8_hidden.webm": Kind("VP8, alternate references are packets never shown", two_pass(f"-c:v libvpx {VPX}")),
    "vp9_hidden.webm": Kind("VP9, alternate references within superframes", two_pass(f"-c:v libvpx-vp9 {VPX}")),
    "vp9_existing.mkv": Kind(
        "VP9 in layers, packets that show a frame decoded before",
        two_pass("-c:v libvpx-vp9 -pix_fmt yuv420p -b:v 200k -auto-alt-ref 6 -lag-in-frames 25 -g 60"),
    ),
    "mpeg1.mpg": Kind("MPEG-1, open groups, program stream", enc(mpeg("mpeg1video"))),
    "mpeg2_open.ts": Kind("MPEG-2, open groups", enc(MPEG2)),
    "mpeg2_closed.ts": Kind("MPEG-2, closed groups", enc(MPEG2 + " -flags +cgop")),
    "mpeg2_open.vob": Kind(
        "MPEG-2, open groups, program stream with few stamps", enc(MPEG2, n=119),
        "Ends with a B-frame: ffmpeg 5.1 gives a last P-frame here the stamp of the frame before."),
    "mpeg4_b.mp4": Kind("MPEG-4 part 2 with B-frames", enc(mpeg("mpeg4"))),
    "mpeg4_b.avi": Kind("MPEG-4 part 2 with B-frames, no presentation stamps", enc(mpeg("mpeg4"))),
    "mpeg4_packed.avi": Kind("MPEG-4 part 2, two pictures in a packet, then an empty one (DivX)", packed_avi),
    "h264_b.avi": Kind("H.264 with B-frames, no presentation stamps", enc(H264)),
    "h264_pyramid.avi": Kind("H.264, B-pyramid, no presentation stamps", enc(x264("bframes=5:b-pyramid=normal"))),
    "h264.flv": Kind("H.264 with B-frames, stamps in milliseconds", enc(H264)),
    "flv1.flv": Kind("Sorenson's H.263", enc(mpeg("flv", b=0))),
    "h263.3gp": Kind("H.263, 176x144", enc(mpeg("h263", b=0), size=(176, 144))),
    "mjpeg.avi": Kind("Motion JPEG, full range", enc(f"{MJPEG} yuvj420p", n=90)),
    "mjpeg.mov": Kind("Motion JPEG, 4:2:2, full range", enc(f"{MJPEG} yuvj422p", n=90)),
    "prores.mov": Kind(
        "ProRes, 10 bit 4:2:2",
        enc("-c:v prores_ks -profile:v 0 -qscale:v 30 -pix_fmt yuv422p10le", n=90)),
    "ffv1.mkv": Kind("FFV1, a key frame in 10", enc("-c:v ffv1 -pix_fmt yuv422p -g 10 -context 1", n=90)),
    "huffyuv.avi": Kind("HuffYUV, 4:2:2", enc("-c:v huffyuv -pix_fmt yuv422p", n=48, size=(84, 48))),
    "png.mov": Kind("PNG, RGB", enc("-c:v png -pix_fmt rgb24", n=90)),
    "rv20.rm": Kind("RealVideo 2", enc(mpeg("rv20", b=0))),
    "msmpeg4v3.avi": Kind("Microsoft's MPEG-4 (DivX 3)", enc(mpeg("msmpeg4", b=0))),
    "wmv2.wmv": Kind("Windows Media 8 in ASF, stamps in milliseconds", enc(mpeg("wmv2", b=0))),
    "theora.ogv": Kind("Theora in Ogg: stamps by granules", enc("-c:v libtheora -pix_fmt yuv420p -q:v 6 -g 24")),
    "gif.gif": Kind("GIF at 25 a second", enc("-c:v gif", rate="25", n=96, size=(112, 64), vf=PALETTE)),
    "raw.h264": Kind("H.264 with B-frames without container and stamps", enc(f"{H264} -f h264", rate="25")),
    "raw.h265": Kind("HEVC with B-frames without container and stamps", enc(f"{HEVC} -f hevc", rate="25")),
}  # fmt: skip

FIELDS = {
    "mbaff.mp4": Kind("H.264 MBAFF; both fields show the same number", enc(MBAFF, rate="25", vf="setfield=tff")),
    "mbaff.ts": Kind("H.264 MBAFF; both fields show the same number", enc(MBAFF, rate="25", vf="setfield=tff")),
    "mbaff_fields.mp4": Kind(
        "H.264 MBAFF, top field first; the fields show i and i + 1", fields(MBAFF), filters=DEINTERLACED),
    "mbaff_fields_bff.ts": Kind(
        "H.264 MBAFF, bottom field first; the fields show i and i + 1", fields(MBAFF, top_first=False),
        filters=DEINTERLACED),
    "mpeg2_fields.ts": Kind(
        "MPEG-2 interlaced; the fields show i and i + 1", fields(MPEG2 + INTERLACED), filters=DEINTERLACED),
    "paff.mp4": Kind("H.264 in field pictures, two in a packet", field_movie(field_pictures.h264(0, 96), "h264")),
    "paff.mkv": Kind("H.264 in field pictures, two in a packet", field_movie(field_pictures.h264(0, 96), "h264")),
    "paff.ts": Kind("H.264 in field pictures, a packet for each", field_movie(field_pictures.h264(0, 96), "h264")),
    "mpeg2_field_pictures.ts": Kind(
        "MPEG-2 in field pictures", field_movie(field_pictures.mpeg2(0, 96), "mpegvideo")),
    "mpeg2_field_pictures.vob": Kind(
        "MPEG-2 in field pictures, program stream", field_movie(field_pictures.mpeg2(0, 96), "mpegvideo")),
    "mpeg2_pulldown.mpg": Kind(
        "MPEG-2, frames last 3 and 2 fields in turn; few stamps", pulldown,
        "The last frame has no stamp: ffmpeg 5.1 says 4.921567 s (right: two fields on), FFmpeg 8 4.938244."),
    "pal_dvd.vob": Kind(
        "MPEG-2 interlaced, 720x576 shown 16:9; both fields show the same number",
        enc(mpeg("mpeg2video", q=12) + INTERLACED + " -aspect 16:9", rate="25", vf="setfield=tff", n=40,
            size=(720, 576), sar=Fraction(64, 45))),
}  # fmt: skip

CLOCKS = {
    "uneven.mp4": Kind("variable frame rate", enc(H264 + AS_STAMPED, vf=UNEVEN)),
    "uneven.mkv": Kind("variable frame rate, stamps in milliseconds", enc(H264 + AS_STAMPED, vf=UNEVEN)),
    "still.mp4": Kind("one frame is shown for 30 s", enc(H264 + AS_STAMPED, vf=STILL, n=96)),
    "still.mkv": Kind("one frame is shown for 30 s", enc(H264 + AS_STAMPED, vf=STILL, n=96)),
    "dropped.avi": Kind(
        "empty packets for dropped frames", enc(mpeg("mpeg4", b=0) + " -fps_mode passthrough", vf=HOLES),
        "Frames whose numbers 5 or 7 divide are dropped; the first one shown is 1."),
    "fps_1.mp4": Kind("one frame a second", enc(H264, rate="1", n=96)),
    "fps_240.mp4": Kind("240 frames a second", enc(H264, rate="240", n=144)),
    "fps_240.mkv": Kind("240 frames a second, stamps in milliseconds", enc(H264, rate="240", n=144)),
    "fps_23976.mkv": Kind("24000/1001 frames a second, stamps in milliseconds", enc(H264, rate="24000/1001")),
    "fps_2997.mp4": Kind("30000/1001 frames a second", enc(H264, rate="30000/1001")),
    "starts_at_5.mp4": Kind("first frame at 5 s by an empty edit", enc(H264 + " -output_ts_offset 5")),
    "starts_at_12.mkv": Kind("first frame at 12.4 s", enc(H264 + " -output_ts_offset 12.4")),
    "starts_at_5000.ts": Kind("first frame at 5000 s", enc(f"{H264} {at(5000)}")),
    "wraps.ts": Kind("the clock of 33 bits wraps after 2 s", enc(f"{H264} {at(95441.7)}")),
    "late_video.mp4": Kind("the video starts 1.2 s after the sound by an empty edit", late_video),
    "joined.ts": Kind("two recordings joined: the clock starts again", joined(H264), JOINED),
    "joined.vob": Kind("two DVD files joined: the clock starts again", joined(MPEG2), JOINED),
    "jumps.ts": Kind("the clock jumps by two hours in the middle", joined(H264, at(7200)), JOINED),
    "gap.ts": Kind(
        "two seconds are missing in the middle", joined(H264, "-output_ts_offset 4.466667"),
        "ffmpeg keeps gaps of less than 10 s."),
    "two_sizes.ts": Kind(
        "the size changes in the middle, the clock goes on",
        joined(H264, "-output_ts_offset 2.466667", size=(256, 144)),
        "ffmpeg scales the second part to the first one's size, though its aspect is another."),
}  # fmt: skip

CONTAINERS = {
    "trimmed.mp4": Kind("H.264 trimmed without recoding: hidden lead-in frames", copied(H264, "-ss 1.5")),
    "trimmed_both.mp4": Kind("H.264 trimmed at both ends without recoding", copied(H264, "-ss 1.3 -t 1.55")),
    "trimmed_open.mp4": Kind("H.264 with open groups trimmed without recoding", copied(H264_OPEN, "-ss 1.3")),
    "trimmed_hevc.mp4": Kind("HEVC trimmed without recoding", copied(HEVC + HVC1, "-ss 1.5")),
    "trimmed_hevc_open.mp4": Kind("HEVC, open groups, trimmed without recoding", copied(HEVC_OPEN + HVC1, "-ss 1.3")),
    "trimmed_at_cra.mp4": Kind(
        "HEVC trimmed where the leading pictures of the first CRA should be shown", copied(HEVC_OPEN + HVC1, "-ss 1.5"),
        "The edit list starts at frame 45; 45 to 47 can't be decoded, so ffmpeg shows 48 first."),
    "trimmed_mpeg4.mp4": Kind("MPEG-4 part 2 trimmed without recoding", copied(mpeg("mpeg4"), "-ss 1.5")),
    "two_edits.mp4": Kind("an edit list of two pieces", two_edits),
    "no_edits.mp4": Kind("no edit list: the first frame is at 0.067 s", enc(H264 + " -use_editlist 0")),
    "negative_offsets.mp4": Kind("negative composition offsets", enc(H264 + " -movflags negative_cts_offsets")),
    "every_key.mp4": Kind("every sample claims to be a key frame", every_key),
    "fragmented.mp4": Kind("fragmented", enc(H264 + " -movflags frag_keyframe+empty_moov")),
    "m2ts.m2ts": Kind("transport packets of 192 bytes", enc(H264 + " -mpegts_m2ts_mode 1")),
    "no_cues.mkv": Kind("Matroska without cues and duration", through_pipe),
    "cover_first.mp4": Kind("stream 0 is a cover picture", cover_first),
    "sound.mp4": Kind("sound between the video's packets", enc(H264 + AAC, audio=True)),
    "sound.ts": Kind("sound between the video's packets", enc(H264 + " -c:a mp2 -ar 16000", audio=True)),
    "two_videos.mp4": Kind("two video streams, the first is the movie", two_videos),
}  # fmt: skip

ORIENTATIONS = {
    "upright.mp4": Kind("display matrix: none", oriented(1, 0, 0, 1)),
    "turned_90.mp4": Kind("display matrix: turned clockwise by 90", oriented(0, 1, -1, 0)),
    "turned_180.mp4": Kind("display matrix: turned by 180", oriented(-1, 0, 0, -1)),
    "turned_270.mp4": Kind("display matrix: turned clockwise by 270", oriented(0, -1, 1, 0)),
    "mirrored.mp4": Kind("display matrix: left and right swapped", oriented(-1, 0, 0, 1)),
    "upside_down.mp4": Kind("display matrix: top and bottom swapped", oriented(1, 0, 0, -1)),
    "transposed.mp4": Kind("display matrix: rows and columns swapped", oriented(0, 1, 1, 0)),
    "transverse.mp4": Kind("display matrix: swapped about the other diagonal", oriented(0, -1, -1, 0)),
    "turned_90_sar.mp4": Kind(
        "turned clockwise by 90; stored samples are 16:11", oriented(0, 1, -1, 0, WIDE),
        "After the turn samples are 11:16; the width is that of the stored height times 11/16."),
}  # fmt: skip

PICTURES = {
    "sar.mp4": Kind("sample aspect 16:11 in the H.264 header and the container", enc(H264, sar=WIDE, n=96)),
    "sar.ts": Kind("sample aspect 16:11, only in the H.264 header", enc(H264, sar=WIDE, n=96)),
    "sar.mkv": Kind(
        "sample aspect 16:11, only in the container; the H.264 header says 1:1", aspect_of_container,
        "The container says 279x96, so 93:64."),
    "sar_tall.mp4": Kind("sample aspect 1:2: shown narrower than stored", enc(H264, sar=Fraction(1, 2), n=96)),
    "h264_10bit.mp4": Kind("H.264, 10 bit", enc(x264("bframes=2", "yuv420p10le"), n=96)),
    "hevc_10bit.mp4": Kind("HEVC, 10 bit", enc(x265("bframes=3", "yuv420p10le") + HVC1, n=96)),
    "h264_422.mp4": Kind("H.264, 4:2:2", enc(x264("bframes=2", "yuv422p"), n=96)),
    "h264_444_odd.mp4": Kind("H.264, 4:4:4, 191x97", enc(x264("bframes=2", "yuv444p"), size=(191, 97), n=96)),
    "h264_rgb.mkv": Kind("H.264, RGB", enc(x264("bframes=2", "rgb24", "libx264rgb"), n=96)),
    "h264_crop.mp4": Kind("H.264, 190x90: cropped from whole macroblocks", enc(H264, size=(190, 90), n=96)),
    "full_range.mp4": Kind(
        "H.264, full range", enc(x264("bframes=2", "yuvj420p") + " -color_range pc", n=96)),
    "pq.mp4": Kind(
        "HEVC, 10 bit, tagged PQ and BT.2020 (tags and matrix only; the picture is as ever)",
        enc(x265("bframes=3", "yuv420p10le") + HVC1 + PQ, vf="scale=out_color_matrix=bt2020", n=96)),
    "hlg.mp4": Kind(
        "HEVC, 10 bit, tagged HLG and BT.2020 (tags and matrix only; the picture is as ever)",
        enc(x265("bframes=3", "yuv420p10le") + HVC1 + HLG, vf="scale=out_color_matrix=bt2020", n=96)),
    "untagged_hd.mp4": Kind(
        "1280x720 with BT.709, but without tags",
        enc(x264("bframes=2:keyint=12:min-keyint=12"), vf="scale=out_color_matrix=bt709", size=(1280, 720), n=36),
        "ffmpeg's own colours are wrong here: it takes BT.601 where tags are missing."),
    "tagged_709_sd.mp4": Kind(
        "BT.709 and tagged so at a small size", enc(H264 + BT709, vf="scale=out_color_matrix=bt709", n=96)),
}  # fmt: skip

KINDS: dict[str, Kind] = CODECS | FIELDS | CLOCKS | CONTAINERS | ORIENTATIONS | PICTURES


# What ffmpeg shows


def shown(path: Path, filters: str = "") -> tuple[dict[str, Any], list[str]]:
    """What ffmpeg shows of a movie, and what is odd about it."""
    chain = f"{filters},showinfo" if filters else "showinfo"
    command = f"ffmpeg -hide_banner -nostats -i {path} -map 0:V:0 -fps_mode passthrough -vf {chain}"
    done = subprocess.run(
        shlex.split(f"{command} -f rawvideo -pix_fmt rgb24 -"), check=True, capture_output=True
    )
    log = done.stderr.decode(errors="replace").splitlines()
    # showinfo's own seconds have six digits only.
    stamps, base, size = [], Fraction(1), None
    for line in log:
        if found := re.search(r"config in time_base: (\d+)/(\d+)", line):
            base = Fraction(int(found[1]), int(found[2]))
        elif found := re.search(r"showinfo.* n: *\d+ pts: *(\S+) .* sar:(\d+)/(\d+) s:(\d+)x(\d+)", line):
            stamps.append(int(found[1]) * base)
            sar = Fraction(int(found[2]), int(found[3])) if int(found[2]) else Fraction(1)
            size = size or (int(found[4]), int(found[5]), sar)
    if size is None:
        raise ValueError("ffmpeg shows nothing:\n" + "\n".join(log))
    width, height, sar = size
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    numbers = [read(picture) for picture in pictures]
    times = [round(float(stamp - stamps[0]), 6) for stamp in stamps]
    truth = {
        "width": round(width * sar),
        "height": height,
        "frames": [[time, number] for time, number in zip(times, numbers, strict=True)],
        "corners": corners(pictures[0]),
    }
    says = re.compile(r"(?i)error|invalid|missing|discont|corrupt|monoton|unable")
    square = (aspect(pictures[0]) or 0) * float(sar)
    return truth, [*odd(numbers, times, square), *sorted({line for line in log if says.search(line)})]


def odd(numbers: list[int | None], times: list[float], square: float) -> Iterator[str]:
    if None in numbers:
        yield f"unreadable: {[i for i, number in enumerate(numbers) if number is None]}"
    steps = {(b or 0) - (a or 0) for a, b in pairwise(numbers)}
    if numbers[0] != 0 or steps != {1}:
        yield f"numbers {numbers[0]} to {numbers[-1]}, steps {sorted(steps)}"
    if back := [i for i, (a, b) in enumerate(pairwise(times)) if b <= a]:
        yield f"stamps don't rise after {back}"
    if abs(square - 1) > 0.05:
        yield f"the square is {square:.2f} times as wide as high"


def save(truths: dict[str, dict[str, Any]]) -> None:
    """One movie a line, in the order of the kinds."""
    lines = (f"{json.dumps(name)}: {json.dumps(truths[name])}" for name in KINDS if name in truths)
    SHOWN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main(names: list[str]) -> None:
    MOVIES.mkdir(exist_ok=True)
    truths = json.loads(SHOWN.read_text()) if SHOWN.exists() else {}
    for name in names or KINDS:
        kind, path = KINDS[name], MOVIES / name
        kind.build(path)
        truth, says = shown(path, kind.filters)
        note = f"{kind.note} Read after {kind.filters}.".strip() if kind.filters else kind.note
        truths[name] = {"kind": kind.what, "note": note} | truth
        save(truths)
        print(
            f"{name}: {path.stat().st_size / 1024:.0f} KiB, {len(truth['frames'])} frames",
            *says,
            sep="\n    ",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
