"""The YAML file of `rhas run`: stages in their order, options as on the command line.

    out: night/                      # everything is written below it; by default a folder beside the file
    stages:
      extract: {movies: movies/manifest.csv, preset: blip2, gpus: 8, cpus: 64}
      verify:
      train: {config: paper, split: cross-movie, gpus: 2}
      eval:

A stage's name is its command, or it says `stage: COMMAND`, so that a command can be there more than once. What a stage
reads is what the nearest earlier stage of the right kind wrote, or the one that `from: NAME` names. Paths are relative
to the file. Everything is checked at once, before anything runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhas.manifests.common.configs import read_yaml
from rhas.manifests.common.errors import InputError, Problem, did_you_mean
from rhas.manifests.common.locations import Place, place
from rhas.pipeline.stages.kinds import KINDS, Kind
from rhas.pipeline.stages.options import Option, options_of

# What a stage asks for, with its unit.
RESOURCES = {
    "gpus": "GPUs", "cpus": "cores", "workers": "workers", "decoders": "decoders", "memory": "GiB of frames in flight",
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A command with all its options. Paths are absolute."""

    name: str
    command: str
    options: Mapping[str, Any]
    arguments: tuple[str, ...]  # as after `rhas`

    @property
    def kind(self) -> Kind:
        return KINDS[self.command]

    @property
    def inputs(self) -> dict[str, Place]:
        """What it reads, by option: also presets, configs and weights that are files of the user's own."""
        paths = {
            name: place(value)
            for name, value in self.options.items()
            if name in (*self.kind.takes, *self.kind.files) or _is_path(value)
        }
        for option in self.kind.folders:
            for name, _, folder in (str(given).partition("=") for given in self.options.get(option, [])):
                if folder:
                    paths[f"{option} {name}"] = place(folder)
        paths.pop(self.kind.writes or "", None)
        return paths

    @property
    def output(self) -> Place | None:
        """Where it writes, or which file of what it reads it adds."""
        if self.kind.result is not None:
            option, _, file = self.kind.result.partition("/")
            return Path(self.options[option]) / file
        return place(self.options[self.kind.writes]) if self.kind.writes else None

    @property
    def resources(self) -> str:
        """What it asks for, for people to read."""
        asked = [
            f"{self.options[name]} {unit if self.options[name] != 1 else unit.removesuffix('s')}"
            for name, unit in RESOURCES.items()
            if self.options.get(name) is not None
        ]
        return ", ".join(asked) or self.kind.needs


@dataclass(frozen=True)
class Pipeline:
    """Stages in their order, and the folder with their logs."""

    path: Path
    out: Path
    stages: tuple[Stage, ...]


def load_pipeline(path: Path, address: str | None = None) -> Pipeline:
    """Reads and checks a pipeline's file; raises `InputError` with all that is wrong with it.

    `address`: of a Ray cluster, for the stages that spread over one.
    """
    values, path = read_yaml(path), path.absolute()
    if (
        not isinstance(values, Mapping)
        or not isinstance(values.get("stages"), Mapping)
        or not values["stages"]
    ):
        raise InputError(Problem(path, "a mapping with `stages`, a mapping of names to options"))
    problems = [
        Problem(path, "one of out, stages", column=str(key), value=values[key])
        for key in values
        if key not in ("out", "stages")
    ]
    out = path.parent / str(values.get("out", path.stem))
    stages: list[Stage] = []
    for name, given in values["stages"].items():
        try:
            stages.append(_stage(path, str(name), {} if given is None else given, out, stages, address))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return Pipeline(path, out, tuple(stages))


def _stage(
    path: Path, name: str, given: Any, out: Path, before: Sequence[Stage], address: str | None
) -> Stage:
    if not isinstance(given, Mapping):
        raise InputError(Problem(path, "a mapping of options", column=name, value=given))
    if name != Path(name).name or name.startswith("."):
        raise InputError(Problem(path, "a name that a folder can have", column=name))
    values: dict[str, Any] = {str(key).replace("-", "_"): value for key, value in given.items()}
    command, source = str(values.pop("stage", name)), values.pop("from", None)
    if command not in KINDS:
        expected = f"a stage of the kind {', '.join(KINDS)} (its name, or `stage: KIND`)"
        raise InputError(Problem(path, expected, column=name, value=command))
    kind = KINDS[command]
    options = options_of(kind.command)
    _check(path, name, command, values, options)
    values = {
        key: [_named_folder(str(one), path) for one in value]
        if key in kind.folders
        else _absolute(value, options[key], path)
        for key, value in values.items()
    }
    for option, of in kind.takes.items():
        # `rhas predict` has either shards or a movie.
        if option not in values and not (option == "shards" and "movie" in values):
            values[option] = _output_of(path, name, of, source, before)
    if kind.writes:
        values.setdefault(kind.writes, str(out / name))
    if kind.spread and address is not None:
        values.setdefault("address", address)
        if command == "train" and not {"gpus", "workers"} & values.keys():
            values["workers"] = 1  # on the cluster, not where this process happens to be
    missing = [
        Problem(path, f"an option that `rhas {command}` needs", column=f"{name}.{key}")
        for key, option in options.items()
        if (option.required or key in kind.required) and key not in values
    ]
    if missing:
        raise InputError(missing)
    if command == "extract":
        beside = {key: Path(values["movies"]).with_name(f"{key}.csv") for key in ("labels", "actions")}
        values = {key: str(file) for key, file in beside.items() if file.is_file()} | values
    arguments = [text for key, value in values.items() for text in options[key].arguments(value)]
    return Stage(name, command, values, (command, *arguments))


def _check(
    path: Path, name: str, command: str, values: Mapping[str, Any], options: Mapping[str, Option]
) -> None:
    problems = []
    for key, value in values.items():
        expected: str | None
        if key not in options:
            near = did_you_mean(key, tuple(options))
            expected = f"an option of `rhas {command}`{near or ': ' + ', '.join(options)}"
            problems.append(Problem(path, expected, column=f"{name}.{key}", value=value))
        elif expected := options[key].problem(value):
            problems.append(Problem(path, expected, column=f"{name}.{key}", value=value))
    if problems:
        raise InputError(problems)


def _output_of(path: Path, name: str, command: str, source: Any, before: Sequence[Stage]) -> str:
    """Where the stage wrote that `source` names, or else the last of a kind."""
    if source is not None and source not in [stage.name for stage in before]:
        raise InputError(Problem(path, "the name of an earlier stage", column=f"{name}.from", value=source))
    of_kind = [stage for stage in before if stage.command == command]
    chosen = [stage for stage in of_kind if stage.name == source] or of_kind
    if not chosen:
        expected = f"an earlier stage of the kind {command}, or an option that says where its output lies"
        raise InputError(Problem(path, expected, column=name))
    return str(chosen[-1].output)


def _is_path(value: Any) -> bool:
    """Whether `_absolute` found one."""
    return isinstance(value, str) and (Path(value).is_absolute() or "://" in value)


def _named_folder(given: str, path: Path) -> str:
    """NAME=FOLDER, with the folder from the file's own; what isn't of that form is for the command to refuse."""
    name, equals, folder = given.partition("=")
    return f"{name}={_from(folder, path)}" if equals and folder else given


def _absolute(value: Any, option: Option, path: Path) -> Any:
    """Paths from the file's own folder; also texts that may be one, such as weights, if something lies there.

    Addresses, of features in a store, stay as they are.
    """
    if option.type is Path and isinstance(value, str):
        return _from(value, path)
    there = os.path.normpath(path.parent / str(value))
    lies_there = isinstance(value, str) and value and os.path.exists(there)  # noqa: PTH110
    return there if lies_there else value


def _from(value: str, path: Path) -> str:
    """A path from the folder that the file `path` lies in; an address stays as it is."""
    if "://" not in value and not value.startswith("~"):
        return os.path.normpath(path.parent / value)
    try:
        here = place(value)
    except ValueError as error:
        raise InputError(Problem(path, str(error), value=value)) from None
    return str(here) if isinstance(here, Path) else value
