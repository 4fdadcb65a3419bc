"""The models by name. A new one is a file with a config dataclass and a `Segmenter`, and one line at the end here.

    model = build_model("hopadiff", feature_size=768, classes=137, config={"fourier": {"variant": "bands"}})

Configs come as plain mappings, as read from YAML: what is left out keeps the model's default, and a key that
isn't known or a value of another type is an InputError.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from manifests.errors import InputError, Problem
from train.models.actdiff_segmenter import ActDiffSegmenter, ActDiffSegmenterConfig
from train.models.hopadiff import HopaDIFF
from train.models.hopadiff_config import HopaDIFFConfig
from train.models.segmenter import Segmenter

C = TypeVar("C")


@dataclass(frozen=True)
class _Model:
    config_type: type
    build: Callable[[int, int, Any], Segmenter]


_MODELS: dict[str, _Model] = {}


def register(name: str, config_type: type[C], build: Callable[[int, int, C], Segmenter]) -> None:
    """Makes a model known. `build` gets the feature size, the number of classes and the config."""
    assert name not in _MODELS, f"got {name = } twice"
    _MODELS[name] = _Model(config_type, build)


def model_names() -> list[str]:
    """The names of all models, sorted."""
    return sorted(_MODELS)


def model_config(
    name: str, values: Mapping[str, Any] | None = None, file: str | Path = "model config"
) -> Any:
    """The checked config of a model from plain values; errors name `file`.

    Raises InputError for an unknown model, and one for all unknown keys and wrong values.
    """
    return _build(_model(name).config_type(), {} if values is None else values, "", file)


def build_model(name: str, feature_size: int, classes: int, config: Any = None) -> Segmenter:
    """A model with fresh weights. `config` is the model's own, or plain values for `model_config`."""
    model = _model(name)
    if not isinstance(config, model.config_type):
        config = model_config(name, config)
    return model.build(feature_size, classes, config)


def _model(name: str) -> _Model:
    if name not in _MODELS:
        raise InputError(Problem("model", f"one of {', '.join(model_names())}", column="name", value=name))
    return _MODELS[name]


def _build(default: Any, values: Any, where: str, file: str | Path) -> Any:
    """The dataclass instance `default` with the values of a mapping in place of its own."""
    hints = get_type_hints(type(default))
    if not isinstance(values, Mapping):
        raise _wrong(file, f"a mapping of {', '.join(hints)}", where, values)
    built: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        try:
            if name not in hints:
                raise _wrong(file, f"one of {', '.join(hints)}", path, value)
            built[name] = _typed(value, hints[name], getattr(default, name), path, file)
        except InputError as error:
            problems += error.problems
    if not problems:
        try:
            return dataclasses.replace(default, **built)
        except InputError as error:
            problems = [dataclasses.replace(problem, file=file) for problem in error.problems]
    raise InputError(problems)


def _typed(value: Any, hint: Any, default: Any, path: str, file: str | Path) -> Any:
    """A value as its type hint wants it; lists become tuples and whole numbers floats."""
    kinds = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
    arguments = get_args(hint)
    if isinstance(hint, UnionType):  # of one type and None
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _typed(value, hint, default, path, file)
    if dataclasses.is_dataclass(hint):
        return _build(hint() if default is None else default, value, path, file)  # type: ignore[operator]
    if get_origin(hint) is Literal:
        if value not in arguments:
            raise _wrong(file, f"one of {', '.join(arguments)}", path, value)
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(file, "a list", path, value)
        return tuple(_typed(item, arguments[0], None, path, file) for item in value)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise _wrong(file, kinds[hint], path, value)
    return value


def _wrong(file: str | Path, expected: str, where: str, value: Any) -> InputError:
    # None would not show: it is how a problem says that there is no value to show.
    got = "null" if value is None else value
    return InputError(Problem(file, expected, column=where or None, value=got))


register("actdiff", ActDiffSegmenterConfig, ActDiffSegmenter)
register("hopadiff", HopaDIFFConfig, HopaDIFF)
