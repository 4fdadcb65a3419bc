"""Edit score: whether label sets follow each other in the right order, however long each lasts.

In: label sets of one video's N frames, and where its clips begin. Out: the edit score in percent, from the
Levenshtein distance of the two run-length-encoded sequences of sets (Lea et al., "Segmental Spatiotemporal
CNNs", ECCV 2016, there for single labels).

The empty set is an element like any other. An N/A gap is no element, but ends a run, as it ends a segment: the
same set before and after a gap makes two elements, in both sequences. So a video that is N/A throughout
has two empty sequences, and these have edit 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rhas.train.metrics.video import Bools


def set_sequence(mask_NC: Bools, breaks_N: Bools) -> list[bytes]:
    """Run-length encoding of the rows, clip by clip: one element, the packed row, per run."""
    packed = np.packbits(mask_NC, axis=1)
    starts_N = breaks_N.copy()
    starts_N[1:] |= (packed[1:] != packed[:-1]).any(axis=1)
    return [row.tobytes() for row in packed[starts_N]]


def edit_score(predicted: Sequence[bytes], truth: Sequence[bytes]) -> float:
    """100·(1 - distance / length of the longer); 100 if both are empty."""
    shorter, longer = sorted((predicted, truth), key=len)
    if not longer:
        return 100.0
    positions: dict[bytes, int] = {}
    for i, element in enumerate(longer):
        positions[element] = positions.get(element, 0) | 1 << i
    distance = levenshtein((positions.get(element, 0) for element in shorter), len(longer))
    return 100.0 * (1 - distance / len(longer))


def levenshtein(matches: Iterable[int], length: int) -> int:
    """Levenshtein distance between a sequence of `length` elements and another, element by element of that one.

    Each entry of `matches` says, as a set of bits, which positions of the first sequence its element matches.
    Columns of the usual table differ by at most one from entry to entry, so a column is two sets of bits,
    where it goes up and where down, and Python's integers update all of it in a dozen operations
    (Myers, J. ACM 1999, in the form of Hyyrö, 2003). Loop over the shorter sequence.
    """
    if not length:
        return sum(1 for _ in matches)
    everywhere = (1 << length) - 1
    last = length - 1
    up, down = everywhere, 0
    distance = length
    for match in matches:
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up = down | (everywhere & ~(diagonal | up))
        right_down = diagonal & up
        distance += (right_up >> last & 1) - (right_down >> last & 1)
        right_up = right_up << 1 | 1
        up = everywhere & (right_down << 1 | ~(diagonal | right_up))
        down = everywhere & diagonal & right_up
    return distance
