"""Import of AVA-style annotations.

In: annotations `video_id,timestamp,x1,y1,x2,y2,action_id,person_id` without header, one box and action per
row and key frame (one key frame a second, `action_id` counted from 1 in the vocabulary); references with the
header `video_id,person_id,reference`; the folder of films, named `<video_id>.<ext>`. Out: an `AvaImport` with
manifest and labels. Writing these, and opening films, is left to the caller.

A key frame at second t stands for [t - 0.5, t + 0.5), cut off at 0. Key frames of one person and action that
are at most a second apart make one interval. Where a person has no key frame between their first and their
last one, they are labelled `N/A`. Timestamps of AVA (from 902 on) are film time already. Times are kept to
the millisecond, in whole numbers, so that neighbouring intervals meet exactly. Boxes are checked, not used.

AVA takes video ids from YouTube, where they may begin with '-', '_' or a dot; such a film gets the movie_id
"v" + video_id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rhas.manifests.common.errors import Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import Row, raise_problems, rows_with_header, rows_without_header
from rhas.manifests.tables.labels import Interval, Labels, PersonKey
from rhas.manifests.tables.manifest import Manifest, Movie, Person, reference_text
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

ANNOTATION_COLUMNS = ("video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id")
REFERENCE_COLUMNS = ("video_id", "person_id", "reference")
VIDEO_SUFFIXES = frozenset(
    (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
)
MAX_TIMESTAMP_S = 1_000_000  # eleven days; beyond it stands no film but a slip
HALF_MS = 500

# Of one person: the key frames of each action, in milliseconds.
_Track = dict[str, set[int]]

_VIDEO_ID = re.compile(r"[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-]")
_ACTION_ID = re.compile(r"[1-9][0-9]{0,8}")


class AvaImport(NamedTuple):
    """What came of an import; `skipped` are annotated persons (video_id, person_id) without a reference."""

    manifest: Manifest
    labels: Labels
    skipped: tuple[PersonKey, ...]


def import_ava(annotations: Path, references: Path, videos: Path, vocabulary: Vocabulary) -> AvaImport:
    """Turn AVA-style files into a manifest and labels; raises `InputError` with the problems of all files.

    A film that is not in the folder is entered as `<video_id>.mp4`. The manifest's `path` is that of the
    references and the labels' `path` that of the annotations, until they are written somewhere.
    """
    in_annotations: list[Problem] = []
    in_references: list[Problem] = []
    in_videos: list[Problem] = []
    tracklets = _load_tracks(annotations, vocabulary, in_annotations)
    rows = list(rows_with_header(references, in_references, REFERENCE_COLUMNS))
    sentences = _sentences(rows)
    if not in_annotations:  # otherwise persons may lack key frames only because their rows were rejected
        _check_annotated(rows, tracklets, annotations)
    found = _find_films(videos, {video_id for video_id, _ in sentences}, in_videos)
    raise_problems(in_annotations, in_references, in_videos)

    persons: dict[str, list[Person]] = {}
    intervals: dict[PersonKey, tuple[Interval, ...]] = {}
    for (video_id, person_id), sentence in sentences.items():
        tracklet = tracklets[video_id, person_id]
        person = _person(_movie_id(video_id), person_id, sentence, tracklet)
        persons.setdefault(video_id, []).append(person)
        intervals[person.key] = _intervals(tracklet)
    movies = tuple(
        Movie(_movie_id(video_id), found[video_id], tuple(own)) for video_id, own in persons.items()
    )
    skipped = tuple(sorted(tracklets.keys() - sentences.keys()))
    return AvaImport(Manifest(references, movies), Labels(annotations, intervals), skipped)


def _load_tracks(path: Path, vocabulary: Vocabulary, problems: list[Problem]) -> dict[PersonKey, _Track]:
    tracklets: dict[PersonKey, _Track] = {}
    for row in rows_without_header(path, problems, ANNOTATION_COLUMNS):
        key = _video_id(row), cells.identifier(row, "person_id")
        action = _action(row, vocabulary)
        _check_box(row)
        expected = f"a time in seconds, from 0 to {MAX_TIMESTAMP_S}"
        timestamp = cells.number(row, "timestamp", expected, 0.0, MAX_TIMESTAMP_S)
        tracklets.setdefault(key, {}).setdefault(action, set()).add(round(timestamp * 1000))
    return tracklets


def _video_id(row: Row) -> str:
    value = row["video_id"]
    if not _VIDEO_ID.fullmatch(value):
        row.reject("video_id", "an id of 1 to 127 letters, digits, '.', '_' or '-', not ending with a dot")
    return value


def _movie_id(video_id: str) -> str:
    return video_id if video_id[:1].isalnum() else f"v{video_id}"


def _action(row: Row, vocabulary: Vocabulary) -> str:
    value = row["action_id"]
    if _ACTION_ID.fullmatch(value) and int(value) <= len(vocabulary):
        return vocabulary.actions[int(value) - 1]
    row.reject("action_id", f"a whole number from 1 to {len(vocabulary)}")
    return ""


def _check_box(row: Row) -> None:
    x1, y1, x2, y2 = (
        cells.number(row, column, "a coordinate from 0 to 1", 0.0, 1.0) for column in ("x1", "y1", "x2", "y2")
    )
    if row.sound("x1", "x2") and x2 < x1:
        row.reject("x2", f"a right edge not left of x1, {x1}")
    if row.sound("y1", "y2") and y2 < y1:
        row.reject("y2", f"a lower edge not above y1, {y1}")


def _sentences(rows: Iterable[Row]) -> dict[PersonKey, str]:
    """Reference of each person, in file order; rejects persons and films that can't be told apart."""
    sentences: dict[PersonKey, str] = {}
    first_rows: dict[PersonKey, Row] = {}
    first_ids: dict[str, str] = {}
    named = []
    for row in rows:
        key = _video_id(row), cells.identifier(row, "person_id")
        sentence = reference_text(row)
        if not row.sound("video_id", "person_id"):
            continue
        named.append((row, *key))
        first = first_rows.setdefault(key, row)
        if first is not row:
            row.reject("person_id", f"each person of {key[0]!r} once; row {first.number} has them already")
        known = first_ids.setdefault(_movie_id(key[0]).lower(), key[0])
        if known != key[0]:
            row.reject("video_id", f"an id that can't be taken for {known!r}, as file names may fold case")
        sentences[key] = sentence
    cells.reject_case_twins(named, "person_id")
    return sentences


def _check_annotated(rows: Iterable[Row], tracklets: dict[PersonKey, _Track], annotations: Path) -> None:
    found = {video_id for video_id, _ in tracklets}
    for row in rows:
        if not row.sound("video_id", "person_id"):
            continue
        if row["video_id"] not in found:
            row.reject("video_id", f"a film with annotations in {annotations}")
        elif (row["video_id"], row["person_id"]) not in tracklets:
            row.reject("person_id", f"a person with annotations in {annotations}")


def _find_films(videos: Path, video_ids: set[str], problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, list[Path]] = {video_id: [] for video_id in video_ids}
    try:
        for file in sorted(videos.absolute().iterdir()):
            if file.stem in found and file.suffix.lower() in VIDEO_SUFFIXES:
                found[file.stem].append(file)
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        problems.append(Problem(videos, f"a folder of films ({getattr(error, 'strerror', None) or error})"))
    for video_id, files in sorted(found.items()):
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            problems.append(Problem(videos, f"one film for video_id {video_id!r}", value=names))
    default = videos.absolute()
    return {video_id: files[0] if files else default / f"{video_id}.mp4" for video_id, files in found.items()}


def _person(movie_id: str, person_id: str, sentence: str, tracklet: _Track) -> Person:
    runs = _runs(set().union(*tracklet.values()))
    return Person(movie_id, person_id, sentence, start_s=runs[0][0] / 1000, end_s=runs[-1][1] / 1000)


def _intervals(tracklet: _Track) -> tuple[Interval, ...]:
    seen = _runs(set().union(*tracklet.values()))
    spans = [(start, end, action) for action, times in tracklet.items() for start, end in _runs(times)]
    spans += [(end, start, ABSENT) for (_, end), (start, _) in pairwise(seen)]
    return tuple(Interval(action, start / 1000, end / 1000) for start, end, action in sorted(spans))


def _runs(times: Iterable[int]) -> list[tuple[int, int]]:
    """Stretches [start, end) in ms that key frames stand for, joined where they meet."""
    runs: list[tuple[int, int]] = []
    for time in sorted(times):
        start, end = max(0, time - HALF_MS), time + HALF_MS
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs
