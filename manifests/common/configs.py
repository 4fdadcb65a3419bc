"""Configs: typed, frozen settings with ranges, built from nested mappings, YAML presets and overrides.

In: plain values, as YAML and JSON give them, a folder of presets, `section.key=value` texts. Out: `Settings`,
pydantic models that say what each setting may be. All that is wrong with a config is one InputError that names
file, setting, value and what was expected (`rhas.manifests.common.refusals`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from rhas.manifests.common.errors import InputError, Problem, did_you_mean
from rhas.manifests.common.refusals import declared, problems_of

_NULL = ("", "~", "null", "Null", "NULL")
# Numbers like 1e-4, which YAML 1.1 takes for texts.
EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


class Settings(BaseModel):
    """A config, or a section of one: a class with a default for each setting, and a docstring below it.

    Types are strict: no text is a number, no fraction a whole number, true is neither. But lists are taken for
    tuples, whole numbers and texts like 1e-4 for floats. Unknown names, NaN and infinity are refused. Raises one
    InputError for all that is wrong, which names the class, or the `title` that it is declared with.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            file = self.model_config.get("title") or type(self).__name__
            raise InputError(problems_of(error, type(self), file)) from None

    # Pydantic's mark of its own: sections are then built without it, and what is wrong with them is told with the rest.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def conflicts(self) -> Iterable[tuple[str, str]]:
        """The settings that can't be as they are beside the others: dotted name, and what was expected."""
        return ()

    def replace(self, **changes: Any) -> Self:
        """The same with other values for some settings, checked. Raises InputError."""
        return type(self)(**{**dict(self), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in YAML and JSON: tuples are lists."""
        # Pydantic's own JSON has null for NaN, text for a date: what is of any type would change unnoticed.
        return {name: _plain(value) for name, value in self.model_dump().items()}

    @field_validator("*", mode="before")
    @classmethod
    def _from_yaml(cls, value: Any, info: ValidationInfo) -> Any:
        return _from_yaml(value, _kinds(cls.model_fields[str(info.field_name)].annotation))

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Self:
        errors = []
        for name, expected in self.conflicts():
            value: Any = self
            for part in name.split("."):
                value = getattr(value, part)
            kind = PydanticCustomError("conflict", "{expected}", {"expected": expected})
            errors.append(InitErrorDetails(type=kind, loc=tuple(name.split(".")), input=value))
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors)
        return self


C = TypeVar("C", bound=Settings)


def from_mapping(
    start: C, values: Any, file: str | Path, *, section: str = "", empty_sections: bool = True
) -> C:
    """The config `start` with the values of a mapping in place of its own.

    A section keeps the values that it has in `start` but for those given; one that is null stays as it is,
    unless `empty_sections` is False, or null is a value of its own. Raises one InputError, naming `file`, for all
    unknown keys and wrong values; `section` is where in the file the config stands.
    """
    try:
        return type(start).model_validate(_merged(start, values, empty_sections))
    except ValidationError as error:
        raise InputError(problems_of(error, type(start), file, section)) from None


def preset_names(folder: Path) -> list[str]:
    """The names of the presets in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def preset_path(preset: str, folder: Path, option: str) -> Path:
    """The file of a preset: of that name in the folder, or a path of one's own. Errors name `option`."""
    names = preset_names(folder)
    path = folder / f"{preset}.yaml" if preset in names else Path(preset)
    if not path.is_file():
        expected = f"one of {', '.join(names)} or a YAML file{did_you_mean(preset, names)}"
        raise InputError(Problem(option, expected, value=preset))
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
    config: Settings, overrides: Sequence[str], open_sections: Collection[str] = ()
) -> dict[str, Any]:
    """The values of a config with `section.key=value` applied, the last one winning.

    Each value is in YAML; where a setting is a text, what would be something else in YAML is that text: a
    number, or a file's name with brackets or a `#` in it. Nothing and null are null.
    What the keys and the values are worth is left to `from_mapping`; sections have to be there already, but
    for those below `open_sections`. Raises InputError, naming `--set`, for the first that can't be applied.
    """
    changed: dict[str, Any] = config.to_dict()
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, leaf = key.strip().split(".")
        section: Any = changed
        expected = "section.key=value"
        for parent in parents:
            if not isinstance(section, dict):
                break
            if parents[0] in open_sections:
                section.setdefault(parent, {})
            elif equals and not isinstance(section.get(parent), dict):
                known = [name for name, value in section.items() if isinstance(value, dict)]
                expected += f", of a section that there is{did_you_mean(parent, known)}"
            section = section.get(parent)
        if not equals or not isinstance(section, dict):
            raise InputError(Problem("--set", expected, value=override))
        try:
            section[leaf] = _value(text, is_text=declared(type(config), [*parents, leaf])[0] is str)
        except ValueError as error:
            raise InputError(Problem("--set", "a value in YAML", column=key, value=text)) from error
    return changed


def _value(text: str, is_text: bool) -> Any:
    """What stands behind the `=` of an override. Raises ValueError where it has to be YAML and isn't."""
    written = text.strip()
    if not is_text or written in _NULL:
        return plain_yaml(text)
    if written.startswith(("'", '"')):
        with suppress(ValueError):
            if isinstance(unquoted := plain_yaml(text), str):
                return unquoted
    return written


def _merged(start: Settings, values: Any, empty_sections: bool) -> Any:
    """`values` over those of `start`, section by section."""
    if values is None and empty_sections:
        return start
    if not isinstance(values, Mapping):
        return values
    merged = dict(start)
    for name, value in ((str(name), value) for name, value in values.items()):
        hint, nullable = declared(type(start), [name])
        if isinstance(hint, type) and issubclass(hint, Settings) and not (value is None and nullable):
            value = _merged(getattr(start, name) or hint(), value, empty_sections)
        merged[name] = value
    return merged


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _from_yaml(value: Any, kinds: Sequence[Any]) -> Any:
    """A value of a setting as Python has it: YAML knows no tuples, and not all numbers."""
    if isinstance(value, list) and tuple in kinds:
        return tuple(_from_yaml(item, kinds) for item in value)
    if isinstance(value, str) and float in kinds and str not in kinds and EXPONENT.fullmatch(value):
        number = float(value)
        return number if math.isfinite(number) else value
    return value


def _kinds(hint: Any) -> list[Any]:
    """All types that an annotation names."""
    return [hint, get_origin(hint), *(kind for part in get_args(hint) for kind in _kinds(part))]
