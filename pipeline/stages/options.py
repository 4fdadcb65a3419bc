"""The options of a command as a table, from the signature that the command line itself is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from typer import Context
from typer.models import ArgumentInfo

KINDS = {int: "a whole number", float: "a number", str: "a text", Path: "a path", bool: "true or false"}
LISTS = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}


@dataclass(frozen=True)
class Option:
    """One option: how it is written, and what it takes."""

    name: str  # as in a pipeline's file
    written: str  # as on a command line; empty for an argument
    type: type
    many: bool
    required: bool
    negated: str = ""  # how it is turned off, where that can be written

    def problem(self, value: Any) -> str | None:
        """What was expected, if it isn't this value."""
        if self.many != isinstance(value, list):
            return self._expected
        accepted = {float: (int, float), Path: (str,), str: (str, int, float)}.get(self.type, (self.type,))
        values = value if self.many else [value]
        wrong = any(type(v) not in accepted for v in values)
        return self._expected if wrong else None

    @property
    def _expected(self) -> str:
        return f"a list of {LISTS[self.type]}, such as [a, b]" if self.many else KINDS[self.type]

    def arguments(self, value: Any) -> Iterator[str]:
        """As on a command line."""
        if self.type is bool:
            yield from filter(None, [self.written if value else self.negated])
            return
        for each in value if self.many else [value]:
            if self.written:
                yield self.written
            yield str(each)


def options_of(command: Callable[..., Any]) -> Mapping[str, Option]:
    """By the names that a pipeline's file has for them: `--max-failure-rate` is max_failure_rate."""
    hints = get_type_hints(command, include_extras=True)
    found = (
        _option(parameter, hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if hints[name] is not Context  # which is typer's own
    )
    return {option.name: option for option in found}


def _option(parameter: inspect.Parameter, hint: Any) -> Option:
    plain, said = get_args(hint) if hasattr(hint, "__metadata__") else (hint, None)
    kinds = (
        [kind for kind in get_args(plain) if kind is not NoneType] if NoneType in get_args(plain) else [plain]
    )
    many = get_origin(kinds[0]) is list
    (kind,) = get_args(kinds[0]) if many else kinds
    # In an annotation, the first name of an option stands where its default would.
    said_names = (getattr(said, "default", None), *(getattr(said, "param_decls", None) or ()))
    declared = [text for text in said_names if isinstance(text, str) and text.startswith("--")]
    first = declared[0] if declared else f"--{parameter.name.replace('_', '-')}"
    written, _, negated = first.partition("/")
    name = written.removeprefix("--").replace("-", "_")
    positional = isinstance(said, ArgumentInfo)
    required = parameter.default is inspect.Parameter.empty
    return Option(
        parameter.name if positional else name, "" if positional else written, kind, many, required, negated
    )
