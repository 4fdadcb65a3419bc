"""Import of AVA-style annotations.

In: annotations `video_id,timestamp,x1,y1,x2,y2,action_id,person_id` without header, one box and action per
row and key frame (one key frame a second); the list of actions by id, AVA's own or another; references with the
header `video_id,person_id,reference`; the folder of movies, named `<video_id>.<ext>`. Out: an `AvaImport` with
manifest, labels and boxes. Writing these, and opening movies, is left to the caller.

A key frame at second t stands for [t - 0.5, t + 0.5), cut off at 0. Key frames of one person and action that
are at most a second apart make one interval. Where a person has no key frame between their first and their
last one, they are labelled `N/A`. Timestamps of AVA (from 902 on) are times of the uncut movie. Times are kept to
the millisecond, in whole numbers, so that neighbouring intervals meet exactly. A row whose id is in a gap of the list
says that the person is there and not what they do; it is counted. An id behind the list's last one is an error.

AVA takes video ids from YouTube, where they may begin with '-', '_' or a dot; such a movie gets the movie_id
"v" + video_id.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import Problem, raise_problems
from rhas.manifests.imports.ava_boxes import Boxes, boxes_of
from rhas.manifests.imports.label_map import ActionList
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_headless_table, read_table
from rhas.manifests.tables.labels import Interval, Labels, PersonKey
from rhas.manifests.tables.manifest import Manifest, Movie, Person, check_reference
from rhas.manifests.tables.table import Bools, Table, first_rows, runs
from rhas.manifests.tables.vocabulary import ABSENT

ANNOTATION_COLUMNS = ("video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id")
REFERENCE_COLUMNS = ("video_id", "person_id", "reference")
VIDEO_SUFFIXES = frozenset(
    (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
)
MAX_TIMESTAMP_S = 1_000_000  # eleven days; beyond it stands no movie but a slip
HALF_MS = 500

# Of one person: the key frames of each action, in milliseconds; None: of all that the list leaves out.
_Track = dict[str | None, NDArray[np.int64]]

_VIDEO_ID = re.compile(r"[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-]")
_ACTION_ID = re.compile(r"[1-9][0-9]{0,8}")


class AvaImport(NamedTuple):
    """What came of an import."""

    manifest: Manifest
    labels: Labels
    boxes: Boxes
    skipped: tuple[PersonKey, ...]  # annotated persons (video_id, person_id) without a reference
    unlisted: dict[int, int]  # rows by action id, of ids in the list's gaps


def import_ava(
    annotations: Path, references: Path, videos: Path, actions: ActionList, offset_s: float = 0.0
) -> AvaImport:
    """Turn AVA-style files into a manifest and labels; raises `InputError` with the problems of all files.

    `offset_s` is the annotations' time at which the movies begin: 900 for AVA's movies when cut to 15 minutes.
    A movie that is not in the folder is entered as `<video_id>.mp4`. The manifest's `path` is that of the
    references and the labels' `path` that of the annotations, until they are written somewhere.
    """
    annotated = read_headless_table(annotations, ANNOTATION_COLUMNS, numbers=ANNOTATION_COLUMNS[1:6])
    times_ms = _check_annotations(annotated, actions, offset_s)
    referred = read_table(references, REFERENCE_COLUMNS)
    named = _check_references(referred)
    tracklets: dict[PersonKey, _Track] = {}
    if not annotated.problems.count:  # else persons may lack key frames because their rows were rejected
        tracklets = _tracklets(annotated, times_ms, actions)
        _check_annotated(referred, tracklets, annotations)
    in_videos: list[Problem] = []
    ids = referred.texts["video_id"]
    found = _find_movies(videos, {ids[row] for row in np.flatnonzero(named).tolist()}, in_videos)
    raise_problems(annotated.problems, referred.problems, in_videos)

    persons: dict[str, list[Person]] = {}
    intervals: dict[PersonKey, tuple[Interval, ...]] = {}
    rows = list(zip(*(referred.texts[column] for column in REFERENCE_COLUMNS), strict=True))
    for video_id, person_id, sentence in rows:
        tracklet = tracklets[video_id, person_id]
        person = _person(_movie_id(video_id), person_id, sentence, tracklet)
        persons.setdefault(video_id, []).append(person)
        intervals[person.key] = _intervals(tracklet)
    movies = tuple(
        Movie(_movie_id(video_id), found[video_id], tuple(own)) for video_id, own in persons.items()
    )
    skipped = tuple(sorted(tracklets.keys() - {(video_id, person_id) for video_id, person_id, _ in rows}))
    wanted = {(video_id, person_id): _movie_id(video_id) for video_id, person_id, _ in rows}
    boxes = boxes_of(annotated, times_ms, wanted)
    labels = Labels(annotations, intervals)
    return AvaImport(Manifest(references, movies), labels, boxes, skipped, _unlisted(annotated, actions))


def _check_annotations(table: Table, actions: ActionList, offset_s: float) -> NDArray[np.int64]:
    """[N] times of the key frames in the movie, in milliseconds."""
    table.check("video_id", _video_id_faults)
    cells.identifier(table, "person_id")
    ids = f"a whole number from 1 to {actions.last}, an action's id (--actions names another list)"
    table.check("action_id", lambda text: () if _is_action(text, actions) else (ids,))
    _check_boxes(table)
    expected = f"a time in seconds, from {offset_s:g} to {MAX_TIMESTAMP_S}"
    times_s = cells.number(table, "timestamp", expected, offset_s, MAX_TIMESTAMP_S)
    sound_s = np.where(table.sound("timestamp"), times_s - offset_s, 0.0)
    return np.rint(sound_s * 1000).astype(np.int64)


def _video_id_faults(value: str) -> tuple[str, ...]:
    if _VIDEO_ID.fullmatch(value):
        return ()
    return ("an id of 1 to 127 letters, digits, '.', '_' or '-', not ending with a dot",)


def _movie_id(video_id: str) -> str:
    return video_id if video_id[:1].isalnum() else f"v{video_id}"


def _is_action(text: str, actions: ActionList) -> bool:
    return bool(_ACTION_ID.fullmatch(text)) and int(text) <= actions.last


def _unlisted(table: Table, actions: ActionList) -> dict[int, int]:
    ids = table.texts["action_id"]
    counts = np.bincount(ids.codes, minlength=len(ids.values)).tolist()
    rows = {int(text): count for text, count in zip(ids.values, counts, strict=True)}
    return {own: rows[own] for own in sorted(rows) if own not in actions.names}


def _check_boxes(table: Table) -> None:
    expected = "a coordinate from 0 to 1"
    x1, y1, x2, y2 = (cells.number(table, name, expected, 0.0, 1.0) for name in ("x1", "y1", "x2", "y2"))
    left = table.sound("x1", "x2") & (x2 < x1)
    table.reject("x2", left, lambda row: f"a right edge not left of x1, {x1[row]}")
    above = table.sound("y1", "y2") & (y2 < y1)
    table.reject("y2", above, lambda row: f"a lower edge not above y1, {y1[row]}")


def _tracklets(table: Table, times_ms: NDArray[np.int64], actions: ActionList) -> dict[PersonKey, _Track]:
    videos, persons, ids = (table.texts[name] for name in ("video_id", "person_id", "action_id"))
    doing = first_rows(videos.codes, persons.codes, ids.codes)
    order = np.argsort(doing, kind="stable")
    tracklets: dict[PersonKey, _Track] = {}
    for own in runs(doing[order]):
        row = order[own.start]
        track = tracklets.setdefault((videos[row], persons[row]), {})
        action = actions.names.get(int(ids[row]))
        track[action] = np.concatenate([track.get(action, times_ms[:0]), times_ms[order[own]]])
    return tracklets


def _check_references(table: Table) -> Bools:
    """[N] rows whose ids are sound by themselves; rejects persons and movies that can't be told apart, too."""
    table.check("video_id", _video_id_faults)
    cells.identifier(table, "person_id")
    check_reference(table)
    named = table.sound("video_id", "person_id")
    videos, persons = table.texts["video_id"], table.texts["person_id"]
    table.reject_repeats(
        "person_id",
        first_rows(videos.codes, persons.codes, where=named),
        lambda row, first: f"each person of {videos[row]!r} once; row {first} has them already",
    )
    folded: dict[str, int] = {}
    movies = (_movie_id(video_id).lower() for video_id in videos.values)
    movie = np.array([folded.setdefault(movie, len(folded)) for movie in movies], int)[videos.codes]
    first = first_rows(movie, where=named)
    table.reject(
        "video_id",
        videos.codes != videos.codes[first],
        lambda row: f"an id that can't be taken for {videos[first[row]]!r}, as file names may fold case",
    )
    cells.reject_case_twins(table, named, "person_id", videos.codes)
    return named


def _check_annotated(table: Table, tracklets: dict[PersonKey, _Track], annotations: Path) -> None:
    found = {video_id for video_id, _ in tracklets}
    keys = list(zip(table.texts["video_id"], table.texts["person_id"], strict=True))
    sound = table.sound("video_id", "person_id")
    movie_there = np.array([video_id in found for video_id, _ in keys], bool)
    there = np.array([key in tracklets for key in keys], bool)
    table.reject("video_id", sound & ~movie_there, f"a movie with annotations in {annotations}")
    table.reject("person_id", sound & movie_there & ~there, f"a person with annotations in {annotations}")


def _find_movies(videos: Path, video_ids: set[str], problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, list[Path]] = {video_id: [] for video_id in video_ids}
    try:
        for file in sorted(videos.absolute().iterdir()):
            if file.stem in found and file.suffix.lower() in VIDEO_SUFFIXES:
                found[file.stem].append(file)
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        problems.append(Problem(videos, f"a folder of movies ({getattr(error, 'strerror', None) or error})"))
    for video_id, files in sorted(found.items()):
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            problems.append(Problem(videos, f"one movie for video_id {video_id!r}", value=names))
    default = videos.absolute()
    return {video_id: files[0] if files else default / f"{video_id}.mp4" for video_id, files in found.items()}


def _person(movie_id: str, person_id: str, sentence: str, tracklet: _Track) -> Person:
    seen = _seen(tracklet)
    return Person(movie_id, person_id, sentence, start_s=seen[0][0] / 1000, end_s=seen[-1][1] / 1000)


def _intervals(tracklet: _Track) -> tuple[Interval, ...]:
    spans = [
        (start, end, action)
        for action, times in tracklet.items()
        if action is not None
        for start, end in _joined(times)
    ]
    spans += [(end, start, ABSENT) for (_, end), (start, _) in pairwise(_seen(tracklet))]
    return tuple(Interval(action, start / 1000, end / 1000) for start, end, action in sorted(spans))


def _seen(tracklet: _Track) -> list[tuple[int, int]]:
    return _joined(np.concatenate(list(tracklet.values())))


def _joined(times_ms: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches [start, end) in ms that key frames stand for, joined where they meet."""
    stretches: list[tuple[int, int]] = []
    for time in np.unique(times_ms).tolist():
        start, end = max(0, time - HALF_MS), time + HALF_MS
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches
