"""Long series in files of about a thousand numbers, at several levels, so that a page loads just what it draws.

Bins of level 0 are samples of the movie; each level has a quarter of the bins of the one before, up to a level that one
file holds. A file of scores has a row for each action: a byte for each bin at level 0, above it two, the least and the
most; and rows for the status and for how sure the box is. Scores are in steps of 1/254, `NONE` where there is none.
A row without any score in a file is left out of it; one whose scores are all below `LEAST` is only named, as `low`.

A file of boxes has for each person and sample `BOX_BYTES`: x1 y1 x2 y2 as 16 bits of the frame's width and height (all
ones: no box), how sure in steps of 1/254, and the status.

Shapes: T samples of a movie, C actions, N bins of a level, P persons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.pipeline.viewer.chunks import packed, write_chunk

TILE, FACTOR, BOX_TILE, BOX_BYTES = 1024, 4, 256, 10
NONE, STEPS = 255, 254
NO_BOX = 65535
LEAST = 0.02  # of a score: less isn't seen in a curve

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Curves:
    """What is drawn of a person, over all samples of the movie."""

    status: Bytes | None  # [T] FrameStatus; None of boxes that are a table's
    sure: Bytes | None  # [T] in steps
    scores: Bytes | None  # [T, C] in steps
    actions: Sequence[int]  # C places of actions


def in_steps(values: NDArray[Any], there: NDArray[np.bool_] | None = None) -> Bytes:
    """Numbers in [0, 1] as bytes; `NONE` where they aren't finite, or not `there`."""
    known = np.isfinite(values)
    if there is not None:
        known &= there
    steps = np.rint(np.clip(np.where(known, values, 0), 0, 1) * STEPS)
    return np.where(known, steps, NONE).astype(np.uint8)


def levels(samples: int) -> int:
    """How many levels a movie has."""
    count = 1
    while samples > TILE:
        samples, count = -(-samples // FACTOR), count + 1
    return count


def least_and_most(values: Bytes) -> Iterator[tuple[Bytes, Bytes]]:
    """Of each level from 1 on: the least and the most of its bins [N, C], of values [T, C]."""
    low = high = values
    for _ in range(1, levels(len(values))):
        pad = ((0, -len(low) % FACTOR), (0, 0))
        low, high = (
            np.pad(v, pad, constant_values=NONE).reshape(-1, FACTOR, v.shape[1]) for v in (low, high)
        )
        none = (high == NONE).all(1)
        high = np.where(none, NONE, np.where(high == NONE, 0, high).max(1)).astype(np.uint8)
        low = low.min(1)  # NONE is more than any
        yield low, high


def most_frequent(status: Bytes) -> Iterator[Bytes]:
    """Of each level from 1 on: the status [N] that most samples of a bin have; of equals the lowest."""
    for level in range(1, levels(len(status))):
        size = FACTOR**level
        own = np.pad(status, (0, -len(status) % size), constant_values=NONE).reshape(-1, size)
        kinds = np.unique(status)
        counts = np.stack([(own == kind).sum(1) for kind in kinds])
        yield kinds[counts.argmax(0)].astype(np.uint8)


def write_curves(folder: Path, name: str, person: int, curves: Curves, samples: int) -> None:
    """All files of a person. `name` is what the page calls the movie."""
    named: dict[str, Bytes] = {} if curves.sure is None else {"sure": curves.sure}
    if curves.scores is not None:
        named |= {str(action): curves.scores[:, c] for c, action in enumerate(curves.actions)}
    whole = [dict(named), *({} for _ in range(1, levels(samples)))]
    if named:
        for level, (least, most) in enumerate(least_and_most(np.stack([*named.values()], axis=1)), start=1):
            pairs = np.stack([least, most], axis=2)  # [N, rows, 2]
            whole[level] |= {key: pairs[:, i] for i, key in enumerate(named)}
    if curves.status is not None:
        for level, status in enumerate((curves.status, *most_frequent(curves.status))):
            whole[level]["status"] = status
    for level, own in enumerate(whole):
        bins = -(-samples // FACTOR**level)
        for tile in range(-(-bins // TILE)):
            part = {key: row[tile * TILE : (tile + 1) * TILE] for key, row in own.items()}
            value = _packed_rows(part)
            write_chunk(folder / f"{person}-{level}-{tile}.js", f"{name}/{person}-{level}-{tile}", value)


def _packed_rows(part: dict[str, Bytes]) -> dict[str, Any]:
    low = [key for key, row in part.items() if key.isdigit() and row.max() < LEAST * STEPS]
    value: dict[str, Any] = {
        key: packed(row, "u1") for key, row in part.items() if key not in low and row.min() < NONE
    }
    return value | ({"low": low} if low else {})


def box_rows(box: NDArray[np.float32], sure: Bytes | None, status: Bytes | None) -> Bytes:
    """[T, BOX_BYTES] of boxes [T, 4]."""
    known = np.asarray(np.isfinite(box).all(axis=1))
    corners = np.where(known[:, None], np.rint(np.clip(np.nan_to_num(box), 0, 1) * (NO_BOX - 1)), NO_BOX)
    rows = np.full((len(box), BOX_BYTES), NONE, np.uint8)
    rows[:, :8] = corners.astype("<u2").view(np.uint8).reshape(-1, 8)
    if sure is not None:
        rows[:, 8] = sure
    if status is not None:
        rows[:, 9] = status
    return rows


def write_boxes(folder: Path, name: str, persons: Sequence[Bytes]) -> None:
    """`persons`: P times what `box_rows` gives."""
    for tile in range(-(-len(persons[0]) // BOX_TILE)):
        own = [rows[tile * BOX_TILE : (tile + 1) * BOX_TILE] for rows in persons]
        write_chunk(folder / f"boxes-{tile}.js", f"{name}/boxes-{tile}", [packed(rows, "u1") for rows in own])
