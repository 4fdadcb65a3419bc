"""Features in `.npy` files: their header checked at once, their rows read a few at a time.

In: a path and how the array is laid out. Out: float rows [n, F] (or [n, N, F], N tokens). T×1×1×F, as I3D's features
are often stored, is T×F. Arrays of Python objects, which numpy would unpickle, are refused. What the numbers have to be
is left to `dataset`.

Shapes: T frames, F feature size, N query tokens.
"""

from __future__ import annotations

import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import reading

Layout = Literal["F×T", "T×F"]  # with tokens "T×F" is T×N×F
Tokens = Literal["mean", "all"]


@dataclass(frozen=True)
class FeatureFile:
    """An array file whose header was found to be right."""

    path: Path
    layout: Layout
    tokens: Tokens
    frames: int  # T
    stored: tuple[int, ...]  # of one frame in the file: (F,) or (N, F)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame as `rows` gives it: (F,), or (N, F) where all tokens are kept."""
        return self.stored[-1:] if self.tokens == "mean" else self.stored

    def rows(self, start: int, stop: int) -> NDArray[np.floating[Any]]:
        """Frames [start, stop) as [n, *shape]. Raises InputError when the file can't be read any more."""
        with reading(self.path, "features"):
            array = _open(self.path)
            rows = array[:, start:stop].T if self.layout == "F×T" else array[start:stop]
            if rows.shape != (stop - start, *self.stored):
                expected = f"{stop - start} frames of {self.stored}, as when the import began"
                raise InputError(Problem(self.path, expected, value=rows.shape))
            if self.tokens == "mean" and rows.ndim == 3:
                return rows.mean(axis=1, dtype=np.promote_types(rows.dtype, np.float32))
            return np.array(rows)  # in memory, so that the file is let go


def open_features(path: Path, layout: Layout, tokens: Tokens = "mean") -> FeatureFile:
    """Reads just the header. Raises InputError for anything but a floating array of at least one frame.

    With "T×F", T×N×F is understood too, and `tokens` says what becomes of the N tokens; without them there is
    nothing that "all" could keep, which is an error.
    """
    with reading(path, "an array file (.npy) of features"):
        array = _open(path)
    dims = {"F×T": (2,), "T×F": (2, 3)}[layout] if tokens == "mean" else (3,)
    if array.dtype.kind != "f":
        raise InputError(Problem(path, "floating point features", value=str(array.dtype)))
    if array.ndim not in dims or not array.size:
        wanted = f"features {layout}" if 3 not in dims else "features T×N×F (N tokens a frame)"
        wanted += " or T×F" if dims == (2, 3) else ""
        raise InputError(Problem(path, wanted, value=array.shape))
    frames, stored = (array.shape[1], array.shape[:1]) if layout == "F×T" else (len(array), array.shape[1:])
    return FeatureFile(path, layout, tokens, frames, stored)


def _open(path: Path) -> NDArray[Any]:
    """The array mapped from disk; numpy refuses arrays of objects here. A header may be anything at all."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        return array.reshape(len(array), -1) if array.ndim == 4 and array.shape[1:3] == (1, 1) else array
    except (EOFError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(str(error)) from error
