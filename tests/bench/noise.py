"""A movie to measure with: coarse moving noise, not free to decode, cheap to make."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def noise_movie(path: Path, seconds: float, fps: int, size: tuple[int, int]) -> Path:
    """Writes it as H.264."""
    random = np.random.default_rng(0)
    tile = random.integers(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3), dtype=np.uint8)
    image = np.kron(tile, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "28", "g": "60"}
        for number in range(int(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.roll(image, number, axis=1)), format="rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
