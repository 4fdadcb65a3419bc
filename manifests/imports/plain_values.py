"""The few names in a pickle that stand for data, and functions written here in place of those that bear them.

In: the arguments that a pickle gives. Out: numpy's numbers and texts as Python's, its arrays as nested lists, sets
and bytes as themselves. numpy's own functions are never called with what a file says: they trust it. Arrays of
objects, of records and of anything but numbers and texts are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rhas.manifests.common.errors import shorten

_SCALARS = (str, int, float, bool, bytes, type(None))  # may be keys: hashing nested tuples may take forever
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|U[0-9]{1,4}")


class Refused(Exception):
    """Why the pickle is not read on."""


class Name(NamedTuple):
    """What a pickle calls a function or class by; just a name, behind which nothing stands."""

    module: str
    name: str


class Dtype:
    """An array's type, of those in `_DTYPE`; BUILD gives it its byte order."""

    def __init__(self, code: str):
        self.code = code
        self.order = "="

    def values(self, data: Any) -> np.ndarray[Any, np.dtype[Any]]:
        raw = data.encode("latin1") if isinstance(data, str) else data  # as Python 2 has it
        if not isinstance(raw, (bytes, bytearray)):
            raise Refused(f"an array made of a {shown(raw)}")
        return np.frombuffer(raw, np.dtype(self.order + self.code))


class Array(list[Any]):
    """An array as nested lists; empty until BUILD fills it."""


def shown(value: Any) -> str:
    """A name as such, all else as its type: what is nested may be too long to print."""
    return ".".join(value) if isinstance(value, Name) else type(value).__name__


def text_of(text: str) -> str:
    """Raises UnicodeEncodeError for lone surrogates, which no file could hold."""
    text.encode()
    return text


def scalars(items: list[Any]) -> list[Any]:
    for item in items:
        if type(item) not in _SCALARS:
            raise Refused(f"a {type(item).__name__} as a key or member")
    return items


def dict_of(items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn."""
    return dict(zip(scalars(items[::2]), items[1::2], strict=True))


def _dtype(code: Any, *_: Any) -> Dtype:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise Refused(f"an array of type {shorten(str(code)) if isinstance(code, str) else shown(code)}")
    return Dtype(code)


def _scalar(dtype: Dtype, data: Any) -> Any:
    (value,) = dtype.values(data).tolist()
    return text_of(value) if isinstance(value, str) else value


def nested(data: Any, dtype: Any, shape: Any, order: Any) -> list[Any]:
    """Nested lists; the sizes have to agree, so that an empty array can't claim a million rows."""
    if not isinstance(dtype, Dtype):
        raise Refused(f"an array of type {shown(dtype)}")
    values = dtype.values(data)
    if type(shape) is not tuple or any(type(size) is not int for size in shape) or not 1 <= len(shape) <= 4:
        raise ValueError("an array whose shape is not 1 to 4 numbers")
    if math.prod(shape) != len(values) or min(shape) < (len(shape) > 1):
        raise ValueError(f"an array of {len(values)} values with shape {shape}")
    for value in values.ravel().tolist() if dtype.code.startswith("U") else ():
        text_of(value)
    return values.reshape(shape, order="F" if order == "F" else "C").tolist()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    return Array(nested(data, dtype, shape, order))


def _reconstruct(kind: Any, *_: Any) -> Array:
    if kind != NDARRAY:
        raise Refused(f"an array of class {shorten(shown(kind))}")
    return Array()


def _latin1(text: str, coding: str) -> bytes:
    """How protocols before 3 write bytes."""
    if type(text) is not str or coding not in ("latin1", "latin-1"):
        raise Refused("bytes in another coding than latin1")
    return text.encode("latin1")


def _members(kind: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """How protocols before 4 write sets: a call with a list."""

    def made(items: Any = ()) -> Any:
        if type(items) not in (list, tuple):
            raise Refused(f"a set of a {shown(items)}")
        return kind(scalars(list(items)))

    return made


NDARRAY = Name("numpy", "ndarray")
CALLS: dict[Name, Callable[..., Any]] = {
    Name("numpy", "dtype"): _dtype,
    Name("_codecs", "encode"): _latin1,
    **{Name(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{Name(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{Name(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{Name(b, "set"): _members(set) for b in ("builtins", "__builtin__")},
    **{Name(b, "frozenset"): _members(frozenset) for b in ("builtins", "__builtin__")},
    **{Name(b, "bytes"): lambda: b"" for b in ("builtins", "__builtin__")},
}
