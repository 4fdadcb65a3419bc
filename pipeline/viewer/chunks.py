"""Files of data as the page loads them: each a script that calls `rhas.give(name, value)`.

In: a name and a value of lists, dicts, texts and numbers. Out: ASCII, so that neither the encoding that a browser
assumes nor what texts hold can matter.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rhas.manifests.tables.labels import Interval

NO_SCORE = -1.0  # of N/A
Columns = dict[str, str]


def write_chunk(path: Path, name: str, value: Any) -> None:
    """Not atomic: `data/index.js`, which comes last, says that all others are whole."""
    path.write_text(chunk(name, value), encoding="ascii")


def chunk(name: str, value: Any) -> str:
    """The script."""
    return f"rhas.give({json.dumps(name)},{json.dumps(value, allow_nan=False, separators=(',', ':'))});\n"


def packed(values: ArrayLike, kind: str) -> str:
    """Base64 of numbers as `kind`, a dtype such as "<f8"."""
    return base64.b64encode(np.ascontiguousarray(np.asarray(values), dtype=kind).tobytes()).decode("ascii")


def interval_columns(intervals: Sequence[Interval], place: dict[str, int]) -> Columns:
    """Places of actions, starts and ends."""
    rows = [(place[i.action], i.start_s, i.end_s) for i in intervals]
    actions, starts, ends = zip(*rows, strict=True) if rows else ((), (), ())
    return {"action": packed(actions, "<u2"), "start": packed(starts, "<f8"), "end": packed(ends, "<f8")}


def times(time_s: NDArray[np.float64]) -> dict[str, Any]:
    """When samples are, [T] rising: by a step where they have one, to the bit."""
    count = len(time_s)
    step = float(time_s[-1] - time_s[0]) / (count - 1) if count > 1 else 1.0
    rate = round(1 / step, 6) if step > 0 else 0.0
    if rate and np.array_equal(time_s, np.arange(count) / rate):
        return {"count": count, "rate": rate}
    return {"count": count, "at": packed(time_s, "<f8")}
