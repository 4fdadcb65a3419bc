"""The index of a movie that is not there: frames at an even rate, one packet each."""

from __future__ import annotations

import numpy as np

from rhas.extract.decode.index import MovieFacts, MovieIndex
from rhas.extract.decode.picture import Orientation, Rendering


def made_index(
    frames: int, fps: float = 15.0, height: int = 480, width: int = 640, digest: str = "d"
) -> MovieIndex:
    facts = MovieFacts(
        container="mov,mp4,m4a,3gp,3g2,mj2", codec="h264", bytes=100 * frames, digest=digest, rate=fps, frames=frames,
        hidden=0, height=height, width=width, coded_height=height, coded_width=width, sample_aspect="1:1",
        orientation="upright", interlaced=False, pixel_format="yuv420p", matrix="ITU601", matrix_assumed=True,
        range="MPEG", transfer="UNSPECIFIED", primaries="UNSPECIFIED", start_s=0.0, container_start_s=0.0,
        joined_at_s=(), order="stamps",
    )  # fmt: skip
    row, first = np.arange(frames), np.zeros(1, np.int64)
    return MovieIndex(
        facts, Rendering(Orientation(), "ITU601"), start_s=row / fps, end_s=frames / fps, row=row, pos=row * 100,
        size=np.full(frames, 100), entry_row=first, entry_s=np.zeros(1), entry_wait=first, entry_stamp=first,
        corrupt=first[:0], by_byte=False, for_decord=False,
    )  # fmt: skip
