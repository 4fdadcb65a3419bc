"""What other packages add, found by entry points: callbacks, detectors, encoders.

In: a group of entry points and a name in it. Out: what the entry point makes. It is a class, or a function, that is
called with what its group is given. Models have a registry of their own (`rhas.train.models.registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from rhas.manifests.common.errors import InputError, Problem

T = TypeVar("T")


def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group that are installed, by name; none is imported."""
    return {entry.name: entry for entry in sorted(entry_points(group=group))}


def one_of(group: str, ours: Sequence[str]) -> Callable[[str], str]:
    """The check of a setting that names one of ours, or a plugin. Raises ValueError, saying which there are."""

    def check(name: str) -> str:
        if name not in ours and name not in (others := plugins(group)):
            raise ValueError(
                f"one of {', '.join([*ours, *others])}; packages add theirs as entry points {group}"
            )
        return name

    return check


def listed(group: str, ours: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """For a setting's `json_schema_extra`: the names that `one_of` takes where the schema is made."""

    def extend(schema: dict[str, Any]) -> None:
        schema["enum"] = [*ours, *plugins(group)]

    return extend


def make(group: str, name: str, kind: type[T], *given: Any) -> T:
    """What the plugin of this name, which is there, makes of what it is `given`.

    Raises InputError, naming group and plugin, where it can't, or gives anything but a `kind`.
    """
    entry = plugins(group)[name]
    try:
        made = entry.load()(*given)
    except Exception as error:
        expected = f"what can be made ({type(error).__name__}: {error})"
        raise InputError(Problem(f"entry point {group}", expected, column=name, value=entry.value)) from error
    if not isinstance(made, kind):
        expected = f"what gives a {kind.__module__}.{kind.__qualname__}"
        raise InputError(Problem(f"entry point {group}", expected, column=name, value=entry.value))
    return made


@contextmanager
def trial(group: str, name: str, made: Any, kind: type) -> Iterator[None]:
    """In which what a plugin made is tried, at the end of which it has to have a hash of its weights.

    Raises InputError, naming group and plugin, for whatever goes wrong.
    """
    try:
        yield
        expect(isinstance(made.weights_hash, str) and bool(made.weights_hash), "no weights_hash")
    except InputError:
        raise
    except Exception as error:
        expected = f"an {kind.__name__} that works as described ({type(error).__name__}: {error})"
        raise InputError(Problem(f"entry point {group}", expected, column=name)) from error


def expect(right: bool, got: str) -> None:
    """For trials of what a plugin made: raises ValueError with what it gave."""
    if not right:
        raise ValueError(f"got {got}")
