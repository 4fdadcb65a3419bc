"""Checks that configs run on construction: all that fail are raised as one `InputError`."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from rhas.manifests.common.errors import InputError, Problem

Check = tuple[bool, str, object, str]  # whether it holds, of which setting, its value, what was expected


def require(*checks: Check, file: str = "model config") -> None:
    """Raises one InputError for all checks that don't hold."""
    problems = [Problem(file, expected, column=name, value=v) for ok, name, v, expected in checks if not ok]
    if problems:
        raise InputError(problems)


def one_of(config: Any, setting: str) -> Check:
    """The check that a setting, such as "diffusion.link", is one of those that its `Literal` type lists."""
    name = setting.rpartition(".")[2]
    value, allowed = getattr(config, name), get_args(get_type_hints(type(config))[name])
    return value in allowed, setting, value, f"one of {', '.join(allowed)}"


def at_least(config: Any, least: float, *settings: str) -> list[Check]:
    """The checks that numbers are not below `least`."""
    values = [(setting, getattr(config, setting.rpartition(".")[2])) for setting in settings]
    return [(value >= least, setting, value, f"at least {least}") for setting, value in values]


def dropout_rates(config: Any, *settings: str) -> list[Check]:
    """The checks that numbers can be dropout rates."""
    values = [(setting, getattr(config, setting.rpartition(".")[2])) for setting in settings]
    return [(0 <= value < 1, setting, value, "a rate from 0 to below 1") for setting, value in values]
