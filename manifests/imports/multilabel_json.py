"""Annotations of Charades, MultiTHUMOS and TSU in the form that works on dense action detection read.

    {"VIDEO": {"subset": "training", "duration": 23.21, "actions": [[149, 16.0, 22.2], …]}, …}

In: that JSON file. Out: an `Annotated` for each video, in the file's order. `duration`, start and end have one unit:
seconds or, in TSU, frames. Classes count from 0 or from 1: MultiTHUMOS goes around in both, and nothing in the file
says which. Where the first or the last class occurs, that tells; where neither or both do, it has to be said. What
intervals mean for frames is left to `multilabel`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import InputError, Problem, raise_problems, shorten
from rhas.manifests.imports.files import check_names

SIDES = {"training": "train", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class Annotated:
    """A video's annotation; classes as the file counts them, times in its unit."""

    name: str
    side: str  # train, val or test
    duration: float
    actions: tuple[tuple[int, float, float], ...]  # class, start, end


def load_annotations(path: Path) -> list[Annotated]:
    """Raises `InputError` with all problems of the file."""
    try:
        videos = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        message = getattr(error, "strerror", None) or error
        raise InputError(Problem(path, f"readable JSON ({message})")) from error
    if not isinstance(videos, dict) or not videos:
        raise InputError(Problem(path, "an object with an entry for each video", value=type(videos).__name__))
    problems = list(check_names(videos, path))
    found = []
    for name, video in videos.items():
        if own := [Problem(path, *fault) for fault in _faults(name, video)]:
            problems += own
        else:
            actions = tuple((index, float(start), float(end)) for index, start, end, *_ in video["actions"])
            found.append(Annotated(name, SIDES[video["subset"]], float(video["duration"]), actions))
    raise_problems(problems)
    return found


def first_class(path: Path, videos: list[Annotated], classes: int, first: int | None) -> int:
    """What the first class is counted as. Raises InputError where nothing tells, or an index is beyond `classes`.

    `first`: as the user says; None: as the file tells.
    """
    indices = {index for video in videos for index, *_ in video.actions}
    if first is None:
        if (0 in indices) == (classes in indices):
            got = f"{min(indices, default='none')} to {max(indices, default='none')}"
            expected = (
                f"classes from 0 to {classes - 1}, or from 1 to {classes}, with the first or the last one among them "
                "(--count-from says which)"
            )
            raise InputError(Problem(path, expected, column="actions", value=got))
        first = int(classes in indices)
    if beyond := sorted(index for index in indices if not first <= index < classes + first):
        expected = f"classes from {first} to {classes - 1 + first}"
        raise InputError(Problem(path, expected, column="actions", value=", ".join(map(str, beyond[:5]))))
    return first


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shorten(twice)!r} stands there twice")
    return found


def _faults(name: str, video: Any) -> Iterator[tuple[str, None, str, str]]:
    """What was expected, and the column and value of what is there instead."""
    if not isinstance(video, dict):
        yield "an object with subset, duration and actions", None, name, _shown(video)
        return
    if not isinstance(video.get("subset"), str) or video["subset"] not in SIDES:
        yield f"one of {', '.join(SIDES)}", None, f"{name}.subset", _shown(video.get("subset"))
    if not _is_number(video.get("duration")) or video["duration"] <= 0:
        yield "a duration above 0", None, f"{name}.duration", _shown(video.get("duration"))
    actions = video.get("actions")
    if not isinstance(actions, list):
        yield "a list of actions", None, f"{name}.actions", _shown(actions)
        return
    for i, action in enumerate(actions):
        right = isinstance(action, list) and len(action) >= 3 and type(action[0]) is int and action[0] >= 0
        if not right or not all(map(_is_number, action[1:3])):
            yield "[class, start, end]", None, f"{name}.actions[{i}]", _shown(action)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _shown(value: Any) -> str:
    return shorten(json.dumps(value))
