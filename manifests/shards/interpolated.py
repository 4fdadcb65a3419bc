"""Features that weren't computed but lie between two that were: which they are, and what they depend on.

With `encoder.crop_every` or `encoder.frame_every` above 1 shards have a series `interpolated` [T] uint8, whose bits say
which streams were interpolated in a sample. Encoded are samples whose number in the movie is a multiple of these, and
the first and last of each stretch: samples in a row that have the feature, in one shot, of one track for crops. So
nothing is interpolated over a cut, or a gap, or between two tracks; and results don't depend on windows, for which
samples beyond their borders are encoded as well, up to the next multiple.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, LOST

NAME = "interpolated"
HOLISTIC, PARTIAL = 1, 2  # bits


def every_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Each how many samples whole frames and crops are encoded, by an extraction's config."""
    encoder = config.get("encoder")
    said = encoder if isinstance(encoder, Mapping) else {}
    frames, crops = (said.get(name, 1) for name in ("frame_every", "crop_every"))
    return (int(frames), int(crops)) if isinstance(frames, int) and isinstance(crops, int) else (1, 1)


def reach(start: int, stop: int, samples: int, every: tuple[int, int]) -> tuple[int, int]:
    """The samples [first, last) that the features of [start, stop) are made from."""
    first = min(start // one * one for one in every)
    last = max(-(-(stop - 1) // one) * one for one in every) + 1
    return first, min(last, samples)


def problems(
    interpolated: NDArray[np.uint8],
    status: NDArray[np.uint8],
    track: NDArray[np.int32],
    every: tuple[int, int],
) -> Iterator[str]:
    """What can't be so in a person's series: none between two that were encoded, too long, or over a gap or track."""
    numbers = np.arange(len(status))
    for bit, name, promising, one in (
        (HOLISTIC, "holistic", HAS_HOLISTIC, every[0]),
        (PARTIAL, "partial", HAS_PARTIAL, every[1]),
    ):
        at = np.flatnonzero(interpolated & bit)
        if not len(at):
            continue
        # A window that failed, or lost frames, may have had what its neighbours needed of it: they read it as well.
        lost = np.isin(status, LOST)
        there = np.isin(status, promising) | lost
        encoded = there & ((interpolated & bit) == 0)
        before = np.maximum.accumulate(np.where(encoded, numbers, -1))[at]
        after = np.minimum.accumulate(np.where(encoded, numbers, len(numbers))[::-1])[::-1][at]
        gone = np.cumsum(~there)
        if (before < 0).any() or (after == len(numbers)).any() or (gone[before] != gone[after]).any():
            yield f"{name} is interpolated beyond what was encoded"
        elif (at % one == 0).any() or (before // one * one + one < after).any():
            yield f"{name} is interpolated where it had to be encoded"
        elif bit == PARTIAL and any(
            ((track[end] != track[at]) & ~lost[end]).any() for end in (before, after)
        ):
            yield f"{name} is interpolated between two tracks"
    if (interpolated & ~np.uint8(HOLISTIC | PARTIAL)).any():
        yield f"{NAME} has unknown bits"
