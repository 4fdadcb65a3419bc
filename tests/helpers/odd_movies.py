"""Movies that are odd rather than damaged, and things that are no movies, each by name.

`healthy` decode to the last frame whatever they claim; `refused` hold nothing that could be read; `bombs` are
small files that ask for much memory. Every frame carries its number (`numbered_movies`).
"""

from __future__ import annotations

import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from hostile_movies import FRAMES, HEIGHT, WIDTH, write


def healthy(folder: Path) -> dict[str, tuple[Path, int]]:
    """Movies with their numbers of frames. `… claims` have lengths of years in their headers."""
    movies = {
        "one frame": (write(folder / "one.mp4", "libx264", frames=1), 1),
        "4:4:4": (write(folder / "444.mp4", "libx264", "yuv444p"), FRAMES),
        "10 bit": (write(folder / "10bit.mkv", "libx264", "yuv420p10le"), FRAMES),
        "4:2:2 10 bit": (write(folder / "prores.mov", "prores_ks", "yuv422p10le"), FRAMES),
        "odd size": (write(folder / "odd.webm", "libvpx-vp9", size=(49, 97)), FRAMES),
        "odd size 4:4:4": (write(folder / "odd.mp4", "libx264", "yuv444p", size=(51, 99)), FRAMES),
        "late start": (write(folder / "late.mp4", "libx264", start=75), FRAMES),
        "late start ts": (write(folder / "late.ts", "libx264", start=75), FRAMES),
        "slow": (write(folder / "slow.mkv", "libx264", options={"bf": "2"}, gap=300), FRAMES),
        "windows media": (write(folder / "movie.wmv", "wmv2"), FRAMES),
        "flash": (write(folder / "movie.flv", "flv1"), FRAMES),
        "b-frames in avi": (write(folder / "bframes.avi", "mpeg4", options={"bf": "2"}), FRAMES),
        "b-frames in mkv": (write(folder / "bframes.mkv", "mpeg4", options={"bf": "2"}), FRAMES),
    }
    movies |= {f"{name} claims": (claiming(path), n) for name, (path, n) in {
        "mp4": movies["4:4:4"], "matroska": movies["10 bit"], "avi": movies["b-frames in avi"]}.items()}  # fmt: skip
    names = {"a name, with “all” signs ;|&%03d [1] {} ~ ünïcödé 映画.mp4", "-i.mp4", "concat:a|b.mp4"}
    for name in names:
        movies[name] = ((folder / name), FRAMES)
        movies[name][0].write_bytes(movies["4:4:4"][0].read_bytes())
    return movies


def claiming(path: Path) -> Path:
    """A copy whose headers claim a length of years."""
    data = bytearray(path.read_bytes())
    for box, duration, length in ((b"mvhd", 16, 4), (b"tkhd", 20, 4), (b"mdhd", 16, 4)):  # ISO/IEC 14496-12
        if (at := data.find(box) + 4) > 3:
            data[at + duration : at + duration + length] = b"\x7f" * length
    if (at := data.find(b"\x44\x89\x88")) >= 0:  # Matroska: Duration, 8 bytes
        data[at + 3 : at + 11] = struct.pack(">d", 1e15)
    if (at := data.find(b"avih")) >= 0:  # dwTotalFrames
        data[at + 24 : at + 28] = b"\xff\xff\xff\x7f"
    if (at := data.find(b"strh")) >= 0:  # dwLength
        data[at + 40 : at + 44] = b"\xff\xff\xff\x7f"
    claims = path.with_name(f"claims_{path.name}")
    assert data != path.read_bytes()
    claims.write_bytes(data)
    return claims


def refused(folder: Path) -> dict[str, Path]:
    """What is no movie. The run may be root's, whom no permission stops: links in a circle can't be read either."""
    paths = {
        "missing": folder / "missing.mp4",
        "empty": folder / "empty.mp4",
        "text": folder / "text.mkv",
        "zeros": folder / "zeros.mp4",
        "directory": folder / "directory.mp4",
        "fifo": folder / "fifo.mp4",
        "link to a fifo": folder / "fifo_link.mp4",
        "link to a device": folder / "zero.mp4",
        "links in a circle": folder / "circle.mp4",
        "name too long": folder / f"{'x' * 300}.mp4",
        "a file as folder": folder / "text.mkv" / "movie.mp4",
        "audio only": _audio(folder / "audio.mp4"),
        "no frames": folder / "header.mkv",
        "playlist naming a fifo": folder / "list.m3u8",
        "list naming a device": folder / "list.ffconcat",
    }
    paths["empty"].touch()
    paths["text"].write_text("This is not a movie.\n" * 500)
    paths["zeros"].write_bytes(bytes(100_000))
    paths["directory"].mkdir()
    os.mkfifo(paths["fifo"])
    paths["link to a fifo"].symlink_to(paths["fifo"])
    paths["link to a device"].symlink_to("/dev/zero")
    paths["links in a circle"].symlink_to(folder / "circle2.mp4")
    (folder / "circle2.mp4").symlink_to(paths["links in a circle"])
    movie = write(folder / "whole.mkv", "libx264").read_bytes()
    paths["no frames"].write_bytes(movie[: movie.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    paths["playlist naming a fifo"].write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{paths['fifo']}\n#EXT-X-ENDLIST\n"
    )
    paths["list naming a device"].write_text("ffconcat version 1.0\nfile /dev/zero\n")
    return paths


def _audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, i * 1024, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bombs(folder: Path) -> dict[str, tuple[Path, int]]:
    """Small files with one huge picture, and its side in pixels. FFmpeg itself refuses 20 000 × 20 000."""
    movie = write(folder / "jpeg.mkv", "mjpeg", "yuvj420p").read_bytes()
    found = {}
    for side in (16_000, 20_000, 65_500):
        # The frame header of each picture, SOF0: precision 8, then height and width.
        small, large = (struct.pack(">BHH", 8, h, w) for h, w in ((HEIGHT, WIDTH), (side, side)))
        found[f"jpeg {side}"] = folder / f"jpeg_{side}.mkv", side
        found[f"jpeg {side}"][0].write_bytes(movie.replace(small, large))
    for side, bits in ((16_000, 1), (16_000, 8), (20_000, 1)):
        name = f"png {side}, {bits} bit"
        found[name] = folder / f"png_{side}_{bits}.mkv", side  # content decides, not the name
        found[name][0].write_bytes(_png(side, bits))
    return found


def _png(side: int, bits: int) -> bytes:
    """A whole black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(side * (1 + side * bits // 8)), 1)
    header = struct.pack(">IIBBBBB", side, side, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
