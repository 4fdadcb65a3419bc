"""Labels: what each referred person does, and when.

In: a CSV `movie_id,person_id,action,start_s,end_s`, one row per interval. Out: `Labels`, the intervals of
each person sorted by start. Intervals are half-open, [start_s, end_s), in seconds of film time; a person may
do several things at once. The action `N/A` marks an interval in which the person is absent, and during which
they therefore do nothing else. Sampling the intervals at frames is left to `train`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.errors import Problem
from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import Row, did_you_mean, raise_problems, rows_with_header, write_rows
from rhas.manifests.tables.manifest import Manifest
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

COLUMNS = ("movie_id", "person_id", "action", "start_s", "end_s")
PersonKey = tuple[str, str]  # (movie_id, person_id)


@dataclass(frozen=True)
class Interval:
    """An action, or `N/A` for absence, during [start_s, end_s)."""

    action: str
    start_s: float
    end_s: float

    @property
    def place(self) -> tuple[float, float, str]:
        """What intervals are sorted by: start, then end, then action."""
        return self.start_s, self.end_s, self.action


@dataclass(frozen=True)
class Labels:
    """Intervals of each labelled person, and the file that they were read from."""

    path: Path
    intervals: Mapping[PersonKey, tuple[Interval, ...]]


@dataclass(frozen=True)
class _Entry:
    row: Row
    key: PersonKey
    interval: Interval


def load_labels(path: Path, vocabulary: Vocabulary | None, manifest: Manifest | None) -> Labels:
    """Read and check labels; raises `InputError` with all their problems.

    Without a vocabulary any action passes, without a manifest any person.
    """
    problems: list[Problem] = []
    entries = [_entry(row) for row in rows_with_header(path, problems, COLUMNS)]
    _check_repeats(entries)
    if vocabulary is not None:
        _check_actions(entries, vocabulary)
    if manifest is not None:
        _check_persons(entries, manifest)
    by_person = _by_person(entries)
    for own in by_person.values():
        _check_absence([entry for entry in own if entry.row.sound(*COLUMNS)])
    raise_problems(problems)
    return Labels(path, {key: tuple(entry.interval for entry in own) for key, own in by_person.items()})


def write_labels(labels: Labels, path: Path) -> None:
    """Write labels atomically; what is loaded from the file are the same labels."""
    rows = (
        (*key, interval.action, interval.start_s, interval.end_s)
        for key, intervals in labels.intervals.items()
        for interval in intervals
    )
    write_rows(path, COLUMNS, rows)


def _entry(row: Row) -> _Entry:
    key = cells.identifier(row, "movie_id"), cells.identifier(row, "person_id")
    action = cells.name(row, "action")
    return _Entry(row, key, Interval(action, *cells.span(row, required=True)))


def _by_person(entries: Iterable[_Entry]) -> dict[PersonKey, list[_Entry]]:
    by_person: dict[PersonKey, list[_Entry]] = {}
    for entry in entries:
        by_person.setdefault(entry.key, []).append(entry)
    return {key: sorted(own, key=lambda entry: entry.interval.place) for key, own in by_person.items()}


def _check_repeats(entries: Iterable[_Entry]) -> None:
    first_rows: dict[tuple[str, ...], int] = {}
    for entry in entries:
        if not entry.row.sound(*COLUMNS):
            continue
        interval = entry.interval
        # Times as numbers, so that 1 and 1.0 count as the same.
        row = (*entry.key, interval.action, str(interval.start_s), str(interval.end_s))
        first = first_rows.setdefault(row, entry.row.number)
        if first != entry.row.number:
            entry.row.reject("action", f"each interval once; row {first} says the same")


def _check_actions(entries: Iterable[_Entry], vocabulary: Vocabulary) -> None:
    for entry in entries:
        action = entry.interval.action
        if entry.row.sound("action") and action != ABSENT and action not in vocabulary:
            near = did_you_mean(action, (*vocabulary.actions, ABSENT))
            entry.row.reject("action", f"one of the {len(vocabulary)} actions, or {ABSENT}{near}")


def _check_persons(entries: Iterable[_Entry], manifest: Manifest) -> None:
    known = {person.key for person in manifest.persons}
    persons = {movie.movie_id: tuple(p.person_id for p in movie.persons) for movie in manifest.movies}
    for entry in entries:
        movie_id, person_id = entry.key
        if entry.key in known or not entry.row.sound("movie_id", "person_id"):
            continue
        if movie_id not in persons:
            entry.row.reject("movie_id", f"a film of {manifest.path}{did_you_mean(movie_id, tuple(persons))}")
        else:
            near = did_you_mean(person_id, persons[movie_id])
            entry.row.reject("person_id", f"a person of film {movie_id!r} in {manifest.path}{near}")


def _check_absence(own: Iterable[_Entry]) -> None:
    """Reject intervals that begin while the same person is absent, or absences that begin while they act.

    Takes the intervals of one person sorted by start, and compares each with the interval of the other kind
    that has ended last so far: if that one does not reach into it, none does.
    """
    latest: dict[bool, _Entry] = {}
    for entry in own:
        absent = entry.interval.action == ABSENT
        other = latest.get(not absent)
        if other is not None and entry.interval.start_s < other.interval.end_s:
            clash = (
                f"{other.interval.action!r} in row {other.row.number}, which ends at {other.interval.end_s}"
            )
            entry.row.reject("start_s", f"no overlap of {ABSENT} with an action, here with {clash}")
        same = latest.get(absent)
        if same is None or entry.interval.end_s > same.interval.end_s:
            latest[absent] = entry
