"""A movie as browsers play it, in step with the original: a copy where they can play that, else a proxy.

Copied is MP4 with H.264, VP9 or AV1, and WebM with VP8, VP9 or AV1: 8 bit 4:2:0, progressive, not mirrored, whose first
frame is at 0 of the container's clock, not cut by edit lists, and whose seek points are where its index knows them to
be. For others browsers differ: some shift the clock to the first frame and some don't; they can't seek in intra refresh
and believe key flags that aren't true. `tests/browser` holds what a browser shows of every kind of movie against the
truth.

A proxy has every frame of the index at its own time, the first at 0, without B-frames, a seek point every two seconds
and no sound. Frames that can't be decoded are grey. It is named by the movie's digest, so that it is made once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.index import MovieIndex, stored_index
from rhas.extract.decode.process import DecodeError, DecoderProcess, fit_short_side
from rhas.extract.decode.sampling import ROUNDING_S, sample
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import Place, Remote

CODECS = {"mov": ("h264", "vp9", "av1"), "matroska": ("vp8", "vp9", "av1")}
SUFFIXES = {"mov": (".mp4", ".m4v", ".mov"), "matroska": (".webm",)}
FORMATS = ("yuv420p", "yuvj420p")
FASTEST, USUAL = 61.0, 30.0  # frames a second: more are thinned out
KEY_S, TICK = 2.0, Fraction(1, 90_000)
_AT_ONCE_BYTES = 64 << 20
_GREY = 128


@dataclass(frozen=True)
class Proxies:
    """How proxies are made."""

    short_side: int = 480  # pixels
    codec: str = "h264"  # or vp9


@dataclass(frozen=True)
class Media:
    """A file below `media/`, and the player's time at which the movie's first frame is shown."""

    name: str
    width: int
    height: int
    made: bool  # a proxy, or a copy


def index_of(decoder: DecoderProcess, video: Place, stored: Path | None, digest: str | None) -> MovieIndex:
    """The movie's index: stored beside its features, or made now. Raises DecodeError for a file that has changed."""
    index = None
    if stored is not None and (isinstance(video, Remote) or video.is_file()):
        try:
            index = stored_index(stored, video)
        except OSError:
            index = None
    index = index or decoder.index(video)
    if digest is not None and index.facts.digest != digest:
        raise DecodeError("the file has changed since its features were made")
    return index


def plays(video: Path, index: MovieIndex) -> bool:
    """Whether browsers play the file as it is, every frame at its time."""
    facts = index.facts
    kind = facts.container.split(",")[0]
    sound = (
        facts.codec in CODECS.get(kind, ())
        and video.suffix.lower() in SUFFIXES[kind]
        and facts.pixel_format in FORMATS
        and not (facts.interlaced or index.rendering.orientation.mirrored or facts.joined_at_s)
        and max(abs(facts.start_s), abs(facts.container_start_s)) < ROUNDING_S
        and not index.entry_wait.any()
        and not len(index.corrupt)
        and not (facts.codec == "h264" and facts.hidden)  # cut by an edit list
    )
    return sound and (kind != "mov" or _key_flags(video) == len(index.entry_row))


def _key_flags(video: Path) -> int:
    """How many frames of an MP4 file say that decoding may begin with them."""
    try:
        with av.open(video) as container:
            return sum(entry.is_keyframe for entry in container.streams.video[0].index_entries)
    except (av.FFmpegError, IndexError):
        return -1


def provide(
    folder: Path, video: Path, index: MovieIndex, decoder: DecoderProcess, proxies: Proxies, copy: bool,
    say: Callable[[str], None],
) -> Media:  # fmt: skip
    """The movie in `folder`, unless it is there already. `copy`: where browsers can play it. Raises DecodeError."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = index.facts
    if copy and plays(video, index):
        kind = ".webm" if facts.container.startswith("matroska") else ".mp4"
        name = f"{facts.digest}{kind}"
        if not (folder / name).is_file():
            shutil.copyfile(video, folder / f".{name}")
            (folder / f".{name}").replace(folder / name)
        return Media(name, facts.width, facts.height, made=False)
    height, width = fit_short_side(facts.height, facts.width, proxies.short_side)
    height, width = max(2, height - height % 2), max(2, width - width % 2)
    kind = ".webm" if proxies.codec == "vp9" else ".mp4"
    name = f"{facts.digest}-{height}{kind}"
    if not (folder / name).is_file():
        say(f"a proxy of {video.name}, {width}×{height}")
        _encode(folder / f".{name}", video, index, decoder, (height, width), proxies.codec)
        (folder / f".{name}").replace(folder / name)
    return Media(name, width, height, made=True)


def _shown(index: MovieIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames of a proxy [n], and their times in ticks [n + 1], the last being the end."""
    start_s = index.start_s - index.start_s[0]
    frames = np.arange(len(start_s))
    if len(start_s) > 1 and (len(start_s) - 1) / max(float(start_s[-1]), 1e-9) > FASTEST:
        grid = sample(index.start_s, index.end_s, USUAL)
        frames, first = np.unique(grid.source_frame, return_index=True)
        start_s = grid.time_s[first]
    ticks = np.rint(start_s / float(TICK)).astype(np.int64)
    kept = np.diff(ticks, prepend=-1) > 0  # of frames at the same time a player shows the last
    last = np.append(kept[1:], True)
    ticks, frames = ticks[kept], frames[last]
    end = max(round(index.end_s / float(TICK)), int(ticks[-1]) + 1)
    return frames, np.append(ticks, end)


def _encode(
    path: Path, video: Path, index: MovieIndex, decoder: DecoderProcess, size: tuple[int, int], codec: str
) -> None:
    frames, ticks = _shown(index)
    seconds = float(ticks[-1] * TICK)
    rate = max(1, round(len(frames) / seconds)) if seconds else 1
    options = {"bf": "0", "g": str(max(1, round(KEY_S * rate)))}
    if codec == "vp9":
        name, form = "libvpx-vp9", "webm"
        options |= {"crf": "34", "b": "0", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    else:
        name, form = "libx264", "mp4"
        options |= {"crf": "26", "preset": "veryfast", "force-cfr": "0"}
    container_options = {"movflags": "faststart"} if form == "mp4" else {}
    with av.open(path, "w", format=form, options=container_options) as container:
        stream: Any = container.add_stream(name, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = TICK
        lasts = dict(zip(ticks[:-1].tolist(), np.diff(ticks).tolist(), strict=True))
        batch = max(8, _AT_ONCE_BYTES // (size[0] * size[1] * 3))
        for begin in range(0, len(frames), batch):
            check()
            got = decoder.read(video, index, frames[begin : begin + batch], size)
            for row, pixels in enumerate(got.pixels):
                picture = pixels if got.ok[row] else np.full_like(pixels, _GREY)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = int(ticks[begin + row]), TICK
                _write(container, stream.encode(frame), lasts)
        _write(container, stream.encode(None), lasts)


def _write(container: Any, packets: Any, lasts: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = lasts.get(packet.pts, packet.duration)  # else the last frame ends where it begins
        container.mux(packet)
