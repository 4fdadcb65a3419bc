"""Movies for tests: every frame carries its own number, so that a test can tell which frame it got.

The number stands in the picture as a row of black and white blocks, coarse enough to survive H.264.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12


def picture(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Frame `number` as [H, W, 3] uint8: its bits along the top, a moving square below."""
    image = np.full((height, width, 3), 90, np.uint8)
    block = width // BITS
    for bit in range(BITS):
        image[: height // 3, bit * block : (bit + 1) * block] = 255 if number >> bit & 1 else 0
    left = (number * 3) % (width - 20)
    image[height // 2 : height // 2 + 20, left : left + 20] = (200, 40, 40)
    return image


def number_of(image: np.ndarray) -> int:
    """The number of a decoded (perhaps resized) frame."""
    height, width, _ = image.shape
    block = width / BITS
    row = image[: int(height / 3 * 0.8)].mean(axis=(0, 2))
    return sum(
        1 << bit
        for bit in range(BITS)
        if row[int((bit + 0.25) * block) : int((bit + 0.75) * block)].mean() > 127
    )


def write_movie(
    path: Path,
    times_s: Sequence[float],
    size: tuple[int, int] = (96, 128),
    keyframe_every: int = 30,
    time_base: Fraction = Fraction(1, 15360),
    b_frames: int = 2,
    index_in_front: bool = False,
) -> Path:
    """An H.264 movie whose frame i is `picture(i)`, shown at `times_s[i]`."""
    options = {"movflags": "faststart"} if index_in_front and path.suffix == ".mp4" else {}
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        stream.options = {"g": str(keyframe_every), "bf": str(b_frames), "preset": "ultrafast", "crf": "20"}
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts = round(time_s / time_base)
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def regular(count: int, fps: float = 30.0, start_s: float = 0.0) -> list[float]:
    return [start_s + i / fps for i in range(count)]
