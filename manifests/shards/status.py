"""What became of a referred person's frame. Stored in every shard, one byte per person and sample."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class FrameStatus(IntEnum):
    """Features are finite exactly where the status says that they exist; elsewhere they are NaN."""

    OUTSIDE = 0  # not in the person's interval of the manifest: nothing was promised
    DETECTED = 1  # box found in this frame; holistic and partial features
    FOLLOWED = (
        2  # a weaker candidate that overlaps the last box, a while after the last detection; both features
    )
    MISSING = 3  # the frame was looked at and the person was not found; holistic features only
    UNDECODABLE = 4  # the movie gave no frame here; no features
    FAILED = 5  # the window could not be processed; no features
    IMPORTED = 6  # features that others computed, from what box they don't say; both features
    DOUBTFUL = (
        7  # a weak candidate and nothing that speaks for it: maybe somebody else or nobody; both features
    )
    TRACKED = (
        8  # box of the person's track, found by no sentence of theirs or between two that were; both features
    )


HAS_BOX = (FrameStatus.DETECTED, FrameStatus.FOLLOWED, FrameStatus.DOUBTFUL, FrameStatus.TRACKED)
WRITTEN = (*HAS_BOX, FrameStatus.IMPORTED)
LOST = (FrameStatus.UNDECODABLE, FrameStatus.FAILED)
HAS_HOLISTIC = (*WRITTEN, FrameStatus.MISSING)
HAS_PARTIAL = WRITTEN
STREAMS = {"holistic": HAS_HOLISTIC, "partial": HAS_PARTIAL}


def streams_of(config: Any) -> dict[str, tuple[FrameStatus, ...]]:
    """The streams that an extraction's config asks for, and the statuses that promise features of each.

    `encoder.streams` names one; without it, as in features that others computed, there are both.
    """
    encoder = config.get("encoder") if isinstance(config, Mapping) else None
    only = encoder.get("streams") if isinstance(encoder, Mapping) else None
    return {only: STREAMS[only]} if isinstance(only, str) and only in STREAMS else dict(STREAMS)
