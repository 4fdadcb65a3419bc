"""What pydantic says of wrong settings, as our problems: file, setting, value and what was expected.

In: pydantic's `ValidationError` of a config. Out: `Problem`s. Only what users meet often is put in words here;
what else there is keeps pydantic's.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rhas.manifests.common.errors import Problem

# What was expected, by pydantic's kind of error; its context is filled in.
EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number (int)",
    "float_type": "a finite number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "value_error": "{error}",  # of a validator: the message says what was expected
    "conflict": "{expected}",
}


def problems_of(
    error: ValidationError, config: type[BaseModel], file: str | Path, section: str = ""
) -> list[Problem]:
    """A problem for each thing that is wrong, once, in the order in which `config` declares its settings.

    `section` is where in the file the config stands, if it isn't all of it.
    """
    problems: list[Problem] = []
    for details in error.errors(include_url=False):
        # Behind a setting's name may stand the number of an item of its list.
        names = [str(part) for part in takewhile(lambda part: isinstance(part, str), details["loc"])]
        value = details["input"]
        if details["type"] == "missing" and len(names) < len(details["loc"]):
            expected = f"a list of {len(get_args(declared(config, names)[0]))}"
        else:
            expected = _expected(details, config, names)
        problem = Problem(
            file,
            expected,
            column=".".join([*filter(None, [section]), *names]) or None,
            # None would not show: it is how a problem says that there is no value to show.
            value="null" if value is None else list(value) if isinstance(value, tuple) else value,
        )
        # A list of which items are refused is too short without them; that is no second problem.
        told = details["type"] == "too_short" and any(p.column == problem.column for p in problems)
        if problem not in problems and not told:
            problems.append(problem)
    return problems


def declared(config: Any, names: Sequence[str]) -> tuple[Any, bool]:
    """The type of the setting with this path, None for an unknown one, and whether it may also be null."""
    hint, nullable = config, False
    for name in names:
        fields = getattr(hint, "model_fields", {})
        hint, nullable = (fields[name].annotation if name in fields else None), False
        if get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
            hint, nullable = next(part for part in get_args(hint) if part is not NoneType), True
    return hint, nullable


def _expected(details: Any, config: type[BaseModel], names: list[str]) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        known = list(getattr(declared(config, names[:-1])[0], "model_fields", ()))
        meant = get_close_matches(names[-1], known, n=1) or _in_sections(config, names)
        return f"one of {', '.join(known)}" + (f" (did you mean {meant[0]}?)" if meant else "")
    if kind == "model_type":
        return f"a mapping of {', '.join(getattr(declared(config, names)[0], 'model_fields', ()))}"
    if kind not in EXPECTED:
        return str(details["msg"])
    return EXPECTED[kind].format(**{name: _short(value) for name, value in details.get("ctx", {}).items()})


def _in_sections(config: type[BaseModel], names: list[str]) -> list[str]:
    """Where a setting of this name is, if it was looked for one level too high."""
    inside = {
        name: getattr(declared(config, [*names[:-1], name])[0], "model_fields", ())
        for name in getattr(declared(config, names[:-1])[0], "model_fields", ())
    }
    return [
        ".".join([*names[:-1], section, names[-1]])
        for section, fields in inside.items()
        if names[-1] in fields
    ]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
