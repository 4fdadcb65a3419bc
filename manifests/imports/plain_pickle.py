"""Pickles read as data: lists, numbers, texts. Nothing that a pickle names is ever imported or called.

In: a pickle file of protocol 0 to 5. Out: plain values; numpy's numbers, texts and arrays come back as such and
as lists. A pickle is a program for a small stack machine. Python's own runs it with any function that it names;
this one knows just the instructions that build containers, and a handful of names, which stand for functions
written here. All else is an InputError that names the file and what was refused. What the values mean, and that
one list may stand in a thousand places, is left to the caller: check lengths before going through them.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import InputError, Problem, shorten
from rhas.manifests.imports.plain_values import (
    CALLS,
    NDARRAY,
    Array,
    Dtype,
    Name,
    Refused,
    dict_of,
    nested,
    scalars,
    shown,
    text_of,
)

PLAIN = "a pickle of plain lists, dicts, numbers and texts"


def load_plain(path: Path) -> Any:
    """The value in a pickle file. Raises InputError for what is damaged, or more than data."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        message = getattr(error, "strerror", None) or error
        raise InputError(Problem(path, f"a readable file ({message})")) from error
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except Refused as refused:
        raise InputError(
            Problem(path, f"{PLAIN}; nothing in it is ever called", value=str(refused))
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        message = shorten(f"{type(error).__name__}: {error}")
        raise InputError(Problem(path, f"{PLAIN} that can be read ({message})")) from error


class _Machine:
    """Stack, memo and the instructions: each takes the instruction's argument."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # stacks set aside by MARK
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHES:
            self.stack.append(text_of(argument) if isinstance(argument, str) else argument)
        elif name in _NEW:
            self.stack.append(_NEW[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise Refused(f"instruction {name}{'' if argument is None else ' ' + shorten(str(argument))}")

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        self.take(1)

    def pop_mark(self, _: Any) -> None:
        self.above_mark()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def memoize(self, key: Any) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def take(self, count: int) -> list[Any]:
        """The topmost values."""
        if len(self.stack) < count:
            raise LookupError("nothing on the stack")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError(f"items for a {type(target).__name__}")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise TypeError(f"keys and values for a {type(target).__name__}")
        target.update(dict_of(items))

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise TypeError(f"members for a {type(target).__name__}")
        target.update(scalars(items))

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refused("a global whose name is no text")
        known = Name(module, name)
        if known not in CALLS and known != NDARRAY:
            raise Refused(f"global {shorten('.'.join(known))}")
        self.stack.append(known)

    def reduce(self, _: Any) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Name) or function not in CALLS or type(arguments) is not tuple:
            raise Refused(f"a call of {shorten(shown(function))}")
        self.stack.append(CALLS[function](*arguments))

    def build(self, _: Any) -> None:
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, Dtype):
            if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
                raise Refused("an array type with fields")
            target.order = state[1]
        elif type(target) is Array and not target:
            _, shape, dtype, fortran, data = state
            target.extend(nested(data, dtype, shape, "F" if fortran else "C"))
        else:
            raise Refused(f"state for {shorten(shown(target))}")


_PUSHES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set,
}  # fmt: skip
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "LIST": lambda m, _: m.push(m.above_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.above_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "DICT": lambda m, _: m.push(dict_of(m.above_mark())),
    "FROZENSET": lambda m, _: m.push(frozenset(scalars(m.above_mark()))),
    "APPEND": lambda m, _: m.extend(m.take(1)),
    "APPENDS": lambda m, _: m.extend(m.above_mark()),
    "SETITEM": lambda m, _: m.update(m.take(2)),
    "SETITEMS": lambda m, _: m.update(m.above_mark()),
    "ADDITEMS": lambda m, _: m.add(m.above_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, key: m.push(m.memo[key])),
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.take(2)),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
