"""Import of RefAVA and RefAVA++: persons in key frames of AVA's movies, each with a sentence.

In: a folder with three pickles for each split, dictionaries with one entry a clip, read as data (`plain_pickle`):

    <split>_set_keyframe_crr_final.pkl      boxes, of which the first is used: x1 y1 x2 y2 as shares of the frame
    <split>_set_label_crr_final.pkl         ids of actions, of AVA's 80
    <split>_set_description_crr_final.pkl   sentences, of which the first is used

or, of RefAVA++, `<split>_keyframe.pkl`, `<split>_label.pkl` and `<split>_description.pkl`. Keys are
`<movie>___<second>___<person>`. Out: `Clip`s, by the order of the labels. The released loaders pair the three by their
order; here keys pair them, and have to be the same in all. Clips that say nothing, or have a box without an area, are
left out and counted. What was released are these pickles; the movies are AVA's.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import InputError, Problem, Problems, raise_problems, shorten
from rhas.manifests.imports.label_map import AVA_ACTIONS
from rhas.manifests.imports.plain_pickle import load_plain
from rhas.manifests.tables import cells
from rhas.manifests.tables.clips import Box, Clip
from rhas.manifests.tables.manifest import MAX_REFERENCE_CHARS, SPLITS
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary

NAMES = {
    "RefAVA": "{split}_set_{what}_crr_final.pkl",
    "RefAVA++": "{split}_{what}.pkl",
}
KINDS = ("keyframe", "label", "description")
VIDEO_SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_KEY = re.compile(r"(?P<movie>.+)___(?P<second>[0-9]{1,6})___(?P<person>.+)", re.DOTALL)
_ID = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True)
class RefAVA:
    """What came of an import."""

    release: str  # RefAVA or RefAVA++
    clips: tuple[Clip, ...]
    vocabulary: Vocabulary
    left_out: dict[str, int]  # why, and how many


def read_refava(directory: Path, videos: Path, offset_s: float = 0.0) -> RefAVA:
    """Raises `InputError` with the problems of all files.

    `offset_s`: the annotations' time at which the movies begin: 900 for AVA's when cut to their 15 minutes. A movie
    that isn't in the folder is entered as `<movie>.mp4`.
    """
    vocabulary = load_vocabulary(AVA_ACTIONS)
    release, files = _files(directory)
    movies = _movies(videos)
    left_out: Counter[str] = Counter()
    problems, clips = Problems(), []
    for split, own in files.items():
        boxes, labels, sentences = (_dictionary(own[kind]) for kind in KINDS)
        for kind, other in (("keyframe", boxes), ("description", sentences)):
            for key in labels.keys() - other.keys():
                problems.add(
                    None, Problem(own[kind], "the keys of the labels", value=f"no {shorten(str(key))}")
                )
            for key in other.keys() - labels.keys():
                problems.add(
                    None,
                    Problem(own["label"], f"the keys of {own[kind].name}", value=f"no {shorten(str(key))}"),
                )
        for key, ids in labels.items():
            if key not in boxes or key not in sentences:
                continue
            place = _place(key, offset_s)
            actions = _actions(ids, vocabulary)
            if isinstance(place, Problem) or isinstance(actions, Problem):
                wrong = place if isinstance(place, Problem) else actions
                assert isinstance(wrong, Problem)
                problems.add(
                    None, Problem(own["label"], wrong.expected, column=shorten(str(key)), value=wrong.value)
                )
                continue
            movie, time_s, person = place
            box, sentence = _box(boxes[key]), _sentence(sentences[key])
            reason = "no action" if not actions else box if isinstance(box, str) else ""
            if reason or sentence is None:
                left_out[reason or "no sentence"] += 1
                continue
            assert not isinstance(box, str)
            video = movies.get(movie, videos.absolute() / f"{movie}.mp4")
            clips.append(Clip(movie, video, person, time_s, sentence, split, box, actions))
    raise_problems(problems)
    if not clips:
        raise InputError(Problem(directory, "at least one clip with actions, a box and a sentence"))
    return RefAVA(release, tuple(clips), vocabulary, dict(left_out))


def _files(directory: Path) -> tuple[str, dict[str, dict[str, Path]]]:
    """Of which release, and the files of each split that is there. Raises InputError for a split that is half there."""
    found: dict[str, dict[str, dict[str, Path]]] = {}
    problems = []
    for release, pattern in NAMES.items():
        for split in SPLITS:
            own = {kind: directory / pattern.format(split=split, what=kind) for kind in KINDS}
            there = [path for path in own.values() if path.exists()]
            if len(there) == len(KINDS):
                found.setdefault(release, {})[split] = own
            elif there:
                lacking = next(path for path in own.values() if path not in there)
                problems.append(Problem(lacking, f"a file, beside {there[0].name}"))
    if problems:
        raise InputError(problems)
    if len(found) != 1:
        names = ", or ".join(
            pattern.format(split="<split>", what="<keyframe|label|description>") for pattern in NAMES.values()
        )
        expected = f"the pickles of one release: {names}"
        raise InputError(Problem(directory, expected, value=" and ".join(found) or "none"))
    ((release, splits),) = found.items()
    return release, splits


def _movies(videos: Path) -> dict[str, Path]:
    """By their names without suffix. Raises InputError for two of one name."""
    found: dict[str, list[Path]] = {}
    try:
        for file in sorted(videos.absolute().iterdir()):
            if file.suffix.lower() in VIDEO_SUFFIXES:
                found.setdefault(file.stem, []).append(file)
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        message = getattr(error, "strerror", None) or error
        raise InputError(Problem(videos, f"a folder of movies ({message})")) from error
    raise_problems(
        [
            Problem(videos, f"one movie called {stem!r}", value=", ".join(file.name for file in files))
            for stem, files in found.items()
            if len(files) > 1
        ]
    )
    return {stem: files[0] for stem, files in found.items()}


def _dictionary(path: Path) -> Mapping[Any, Any]:
    value = load_plain(path)
    if not isinstance(value, dict):
        raise InputError(
            Problem(path, "a dictionary, keys to what is known of a clip", value=type(value).__name__)
        )
    return value


def _place(key: Any, offset_s: float) -> tuple[str, float, str] | Problem:
    """Movie, time and person."""
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    if found is None or not all(cells.is_identifier(found[part]) for part in ("movie", "person")):
        return Problem("", "keys <movie>___<second>___<person>", value=shorten(str(key)))
    time_s = int(found["second"]) - offset_s
    if time_s < 0:
        return Problem("", f"a second from {offset_s:g} on, where the movies begin", value=found["second"])
    return found["movie"], time_s, found["person"]


def _actions(ids: Any, vocabulary: Vocabulary) -> tuple[str, ...] | Problem:
    """Names of the actions, each once, in the order of their ids."""
    own = ids if isinstance(ids, (list, tuple, set, frozenset)) else [ids]
    if len(own) > len(vocabulary):
        return Problem("", f"at most {len(vocabulary)} actions", value=len(own))
    numbers = set()
    for one in own:
        text = str(one) if isinstance(one, (int, str)) and not isinstance(one, bool) else ""
        if not _ID.fullmatch(text) or not 1 <= int(text) <= len(vocabulary):
            return Problem(
                "", f"ids of actions, whole numbers from 1 to {len(vocabulary)}", value=shorten(str(one))
            )
        numbers.add(int(text))
    return tuple(vocabulary.actions[number - 1] for number in sorted(numbers))


def _box(boxes: Any) -> Box | str:
    """The first one; or why there is none."""
    first = boxes[0] if isinstance(boxes, (list, tuple)) and len(boxes) else None
    if isinstance(first, (int, float, str)):  # a single box that isn't in a list
        first = boxes
    if not isinstance(first, (list, tuple)) or len(first) != 4:
        return "no box of four corners"
    try:
        x1, y1, x2, y2 = (float(corner) for corner in first)
    except (TypeError, ValueError):
        return "no box of four corners"
    if not all(math.isfinite(corner) and 0 <= corner <= 1 for corner in (x1, y1, x2, y2)):
        return "a box that isn't in the frame"
    if x2 <= x1 or y2 <= y1:
        return "a box without an area"
    return x1, y1, x2, y2


def _sentence(sentences: Any) -> str | None:
    """The first one, on one line; None if it says nothing, or more than a sentence does."""
    first = sentences[0] if isinstance(sentences, (list, tuple)) and len(sentences) else sentences
    if not isinstance(first, str) or len(first) > 4 * MAX_REFERENCE_CHARS:
        return None
    text = " ".join(first.split())
    return text if not cells.text_faults(text, MAX_REFERENCE_CHARS) else None
