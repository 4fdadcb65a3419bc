"""Configs as typed dataclasses: built from nested mappings, read from YAML presets, changed by overrides.

In: plain values, as YAML and JSON give them, a folder of presets, `section.key=value` texts. Out: frozen
dataclasses. Ranges, and what holds between settings, are left to the dataclasses, which check themselves on
construction. All that is wrong with a config is one InputError that names file, setting, value and what was
expected.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from rhas.manifests.common.errors import InputError, Problem

C = TypeVar("C")
KINDS = {bool: "true or false", int: "a whole number (int)", float: "a finite number", str: "a text"}
# Numbers like 1e-4, which YAML 1.1 takes for texts.
EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def from_mapping(start: C, values: Any, file: str | Path, *, empty_sections: bool = True) -> C:
    """The dataclass `start` with the values of a mapping in place of its own.

    Fields are bool, int, float, str, Any, dict, Literal, tuples and dataclasses (sections), or one of these
    or None; all of a section's fields have defaults. Lists become tuples, whole numbers and texts like 1e-4
    floats. A section keeps the values that it has in `start` but for those given; one that is null stays as
    it is, unless `empty_sections` is False, or null is a value of its own. Raises one InputError, naming
    `file`, for all unknown keys and wrong values.
    """
    values = {} if values is None and empty_sections else values
    return _Reader(file, empty_sections).section(start, values, "")


def preset_names(folder: Path) -> list[str]:
    """The names of the presets in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def preset_path(preset: str, folder: Path, option: str) -> Path:
    """The file of a preset: of that name in the folder, or a path of one's own. Errors name `option`."""
    names = preset_names(folder)
    path = folder / f"{preset}.yaml" if preset in names else Path(preset)
    if not path.is_file():
        raise InputError(Problem(option, f"one of {', '.join(names)} or a YAML file", value=preset))
    return path


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises InputError, naming the file."""
    try:
        return plain_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem(path, f"readable YAML ({error})")) from error


def plain_yaml(text: str) -> Any:
    """The data in a YAML text. Raises ValueError for anything else."""
    try:
        return yaml.safe_load(text)
    # Tagged values that aren't what their tag says, and nesting without end, have no error of YAML's own.
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def overridden(
    values: Mapping[str, Any], overrides: Sequence[str], open_sections: Collection[str] = ()
) -> dict[str, Any]:
    """A copy of nested values with `section.key=value` applied, each value in YAML, the last one winning.

    What the keys and the values are worth is left to `from_mapping`; sections have to be there already, but
    for those below `open_sections`. Raises InputError, naming `--set`, for the first that can't be applied.
    """
    changed = copy.deepcopy(dict(values))
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, leaf = key.strip().split(".")
        section: Any = changed
        for parent in parents:
            if not isinstance(section, dict):
                break
            is_open = parents[0] in open_sections
            section = section.setdefault(parent, {}) if is_open else section.get(parent)
        if not equals or not isinstance(section, dict):
            raise InputError(Problem("--set", "section.key=value", value=override))
        try:
            section[leaf] = plain_yaml(text)
        except ValueError as error:
            raise InputError(Problem("--set", "a value in YAML", column=key, value=text)) from error
    return changed


@dataclasses.dataclass(frozen=True)
class _Reader:
    """What is the same for all settings of one file."""

    file: str | Path
    empty_sections: bool

    def section(self, start: C, values: Any, where: str) -> C:
        hints = get_type_hints(type(start))
        names = [field.name for field in dataclasses.fields(start)]  # type: ignore[arg-type]
        if not isinstance(values, Mapping):
            raise self.wrong(f"a mapping of {', '.join(names)}", where, values)
        built: dict[str, Any] = {}
        problems: list[Problem] = []
        options: list[Problem] = []  # those of `problems` that the dataclass may tell together with its own
        for name, value in values.items():
            path = f"{where}.{name}" if where else str(name)
            try:
                if name not in names:
                    raise self.wrong(f"one of {', '.join(names)}", path, value)
                built[name] = self.typed(value, hints[name], getattr(start, name), path)
            except InputError as error:
                problems += error.problems
                # The dataclass may refuse an option as well, along with ranges that only it knows.
                if get_origin(hints.get(name)) is Literal and isinstance(value, str):
                    options += error.problems
                    built[name] = value
        if len(problems) > len(options):
            raise InputError(problems)
        try:
            config = dataclasses.replace(start, **built)  # type: ignore[type-var]
        except InputError as error:
            told = [self.placed(problem, names, where) for problem in error.problems]
            columns = {problem.column for problem in told}
            raise InputError([p for p in problems if p.column not in columns] + told) from error
        if problems:
            raise InputError(problems)
        return config

    def typed(self, value: Any, hint: Any, start: Any, path: str) -> Any:
        """A value as its field's type wants it. `start` is what a section starts from, or None."""
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            (hint,) = (argument for argument in arguments if argument is not NoneType)
            return None if value is None else self.typed(value, hint, start, path)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            values = {} if value is None and self.empty_sections else value
            return self.section(hint() if start is None else start, values, path)
        if origin is tuple:
            return self.items(value, arguments, path)
        if origin is Literal:
            holds, expected = value in arguments, f"one of {', '.join(map(str, arguments))}"
        elif origin is dict or hint is dict:
            holds, expected = isinstance(value, dict), "a mapping"
        elif hint is Any:
            return value
        elif hint is float:
            number = _number(value)
            if number is not None:
                return number
            holds, expected = False, KINDS[float]
        else:
            holds, expected = type(value) is hint, KINDS[hint]
        if not holds:
            raise self.wrong(expected, path, value)
        return value

    def items(self, value: Any, arguments: tuple[Any, ...], path: str) -> tuple[Any, ...]:
        """A list as a tuple, of any length or of the one that the type has."""
        if not isinstance(value, list | tuple):
            raise self.wrong("a list", path, value)
        if arguments[-1] is Ellipsis:
            arguments = arguments[:1] * len(value)
        if len(value) != len(arguments):
            raise self.wrong(f"a list of {len(arguments)}", path, value)
        return tuple(self.typed(item, hint, None, path) for item, hint in zip(value, arguments, strict=True))

    def placed(self, problem: Problem, names: list[str], where: str) -> Problem:
        """A dataclass's own problem with the file and the setting's full name, in place of those it knew."""
        column = problem.column
        if where and column is not None:
            first, _, rest = column.partition(".")
            # A dataclass may name its section, which may have another name here.
            column = f"{where}.{rest if rest and first not in names else column}"
        return dataclasses.replace(problem, file=self.file, column=column)

    def wrong(self, expected: str, where: str, value: Any) -> InputError:
        # None would not show: it is how a problem says that there is no value to show.
        got = "null" if value is None else value
        return InputError(Problem(self.file, expected, column=where or None, value=got))


def _number(value: Any) -> float | None:
    """A finite float from a float, a whole number or a text like 1e-4; None from anything else."""
    if type(value) not in (int, float) and not (isinstance(value, str) and EXPONENT.fullmatch(value)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
