"""What decoding costs: the readers beside each other on four codecs, and a movie of ten hours.

In: nothing. Out: rows for the table of `tests.bench`. CPU seconds are of one thread, pictures are as wide as the
movie's and then 480 lines high, as extraction asks for them. TorchCodec is measured where it can be imported (it isn't
installed with the project, and brings no FFmpeg of its own).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.picture import resized
from rhas.extract.decode.process import fit_short_side
from rhas.extract.decode.reader import FrameReader

OUT = Path("bench") / "decode"
FPS, SECONDS, GROUP = 25, 12, 50
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
CODECS = {
    "h264": ("mp4", "libx264", {"preset": "veryfast", "crf": "26", "bf": "2"}),
    "hevc": ("mp4", "libx265", {"preset": "ultrafast", "x265-params": "open-gop=0:log-level=none"}),
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0"}),
    "mpeg4": ("mp4", "mpeg4", {"qscale": "5", "bf": "2"}),
}
RATES = (15.0, 2.0)
Reader = Callable[[Path, MovieIndex, list[int], tuple[int, int]], None]


def _movie(path: Path, codec: str, options: dict[str, str], size: tuple[int, int]) -> Path:
    """Coarse noise that moves, with some that doesn't: neither free nor impossible to code."""
    random = np.random.default_rng(0)
    tile = random.integers(0, 255, (size[0] // 16 + 1, size[1] // 16 + 1, 3), dtype=np.uint8)
    image = np.kron(tile, np.ones((16, 16, 1), np.uint8))[: size[0], : size[1]]
    image = np.clip(image.astype(int) + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = GROUP
        stream.options = {"g": str(GROUP), **options}
        for number in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.roll(image, 3 * number, axis=1)), format="rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _by_packets(path: Path, index: MovieIndex, frames: list[int], size: tuple[int, int]) -> None:
    assert all(pixels is not None for _, pixels, _ in FrameReader(str(path), index).read(frames, size))


def _by_decord(path: Path, index: MovieIndex, frames: list[int], size: tuple[int, int]) -> None:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    for first in range(0, len(frames), 8):
        for image in reader.get_batch(frames[first : first + 8]).asnumpy():
            resized(image, size)


def _by_torchcodec(path: Path, index: MovieIndex, frames: list[int], size: tuple[int, int]) -> None:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    for first in range(0, len(frames), 8):
        for image in decoder.get_frames_at(frames[first : first + 8]).data.numpy():
            resized(image, size)


READERS: dict[str, Reader] = {"packets": _by_packets, "decord": _by_decord, "torchcodec": _by_torchcodec}


def decode() -> list[dict]:
    """CPU milliseconds a sample and bytes read, by codec, size, rate and reader; then the ten hours."""
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for codec, (container, encoder, options) in CODECS.items():
        for name, size in SIZES.items():
            path = _movie(OUT / f"{codec}_{name}.{container}", encoder, options, size)
            rows += [_measure(path, f"{codec} {name}", fps) for fps in RATES]
            path.unlink()
    rows.append(_ten_hours())
    shutil.rmtree(OUT)
    return rows


def _measure(path: Path, what: str, fps: float) -> dict:
    clock, before = time.process_time(), _bytes_read()
    index = build_index(str(path))
    index_s, index_bytes = time.process_time() - clock, _bytes_read() - before
    frames = np.unique(index.samples(fps).source_frame).tolist()
    size = fit_short_side(index.facts.height, index.facts.width, 480)
    row: dict = {"what": f"{what} at {fps:g}/s: CPU by packets / by decord", "aim": "-"}
    for name, read in READERS.items():
        before = _bytes_read()
        best = []
        try:
            for _ in range(2):
                clock = time.process_time()
                read(path, index, frames, size)
                best.append(time.process_time() - clock)
        except (ImportError, RuntimeError, OSError):
            continue
        row[f"ms_a_sample_{name}"] = 1000 * min(best) / len(frames)
        row[f"times_read_{name}"] = (_bytes_read() - before) / 2 / path.stat().st_size
    row["ratio"] = row["ms_a_sample_packets"] / row["ms_a_sample_decord"]
    return row | {
        "index_share": index_s / (row["ms_a_sample_packets"] * len(frames) / 1000),
        "times_read_index": index_bytes / path.stat().st_size,
        "Mbit_s": path.stat().st_size * 8e-6 / SECONDS,
    }


def _ten_hours() -> dict:
    """A movie of ten hours, of small pictures: its index, its first and its last frame."""
    part, path = OUT / "part.mp4", OUT / "ten_hours.mp4"
    _movie(part, "libx264", {"preset": "ultrafast", "crf": "35", "bf": "2"}, (96, 160))
    with av.open(str(part)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.dts is not None]
        out = target.add_stream_from_template(stream)
        assert stream.time_base is not None
        length = round(SECONDS / stream.time_base)
        for repeat in range(10 * 3600 // SECONDS):
            for data, pts, dts, key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = out, stream.time_base, key
                packet.pts, packet.dts = pts + repeat * length, dts + repeat * length
                target.mux(packet)
    clock = time.process_time()
    index = build_index(str(path))
    index_s = time.process_time() - clock
    clock = time.process_time()
    _by_packets(path, index, [0], (96, 160))
    first_s = time.process_time() - clock
    clock = time.process_time()
    _by_packets(path, index, [len(index.start_s) - 1], (96, 160))
    last_s = time.process_time() - clock
    clock = time.perf_counter()
    stored = index.to_bytes()
    store_s = time.perf_counter() - clock
    return {
        "what": "ten hours: CPU s until the first frame / hours", "ratio": (index_s + first_s) / 10, "aim": "<= 1",
        "index_s": index_s, "first_s": first_s, "last_s": last_s, "store_s": store_s, "frames": len(index.start_s),
        "stored_MB": len(stored) / 1e6, "movie_MB": path.stat().st_size / 1e6,
    }  # fmt: skip


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])
