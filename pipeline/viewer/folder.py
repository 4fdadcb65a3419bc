"""Writes the folder that `rhas view` leaves: the page, and data of one movie after the other.

In: a `MovieSource`, what is predicted of its persons, labels, and the movie as browsers play it. Out: files as
`rhas.pipeline.viewer` lists them. An earlier folder of this kind is written over; movies in it are used again.

Shapes: T samples of a movie.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rhas.manifests.common.atomic import write_bytes_atomically, write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.pipeline.viewer.chunks import NO_SCORE, chunk, interval_columns, packed, times, write_chunk
from rhas.pipeline.viewer.doubt import WHO, doubted, stretches, uncertain
from rhas.pipeline.viewer.media import Media
from rhas.pipeline.viewer.page import HTML, page_files
from rhas.pipeline.viewer.predictions import Predicted
from rhas.pipeline.viewer.sources import MovieSource, PersonSource
from rhas.pipeline.viewer.tiles import (
    BOX_TILE,
    FACTOR,
    TILE,
    Curves,
    box_rows,
    in_steps,
    levels,
    write_boxes,
    write_curves,
)
from rhas.train.metrics.segments import runs_of
from rhas.train.scoring.timeline import frame_ends

FORMAT = 1


@dataclass(frozen=True)
class Played:
    """A movie in the page: its file, and what a player's clock says at time 0; or why there is none."""

    media: Media | None
    offset_s: float = 0.0
    note: str = ""


@dataclass
class ViewFolder:
    """One that is being written."""

    root: Path
    vocabulary: Vocabulary
    actions: list[str] = field(default_factory=list)
    """Those of the vocabulary, N/A, and others that a run knows."""
    movies: list[dict[str, Any]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # files in media/
    tau: float | None = None
    predicted: bool = False

    def __post_init__(self) -> None:
        self.actions = [*self.vocabulary.actions, ABSENT]
        self.place = {action: place for place, action in enumerate(self.actions)}

    @property
    def media(self) -> Path:
        return self.root / "media"

    def check_place(self) -> None:
        """Raises InputError where something else is in its place."""
        ours = (self.root / "data").is_dir() and (self.root / HTML).is_file()
        if self.root.exists() and not ours and not (self.root.is_dir() and not any(self.root.iterdir())):
            raise InputError(Problem("--out", "a new folder, or one of rhas view", value=str(self.root)))

    def begin(self) -> None:
        """The page, and no data."""
        data = self.root / "data"
        if data.is_dir():
            (data / "index.js").unlink(missing_ok=True)
            shutil.rmtree(data)
        data.mkdir(parents=True)
        (self.root / "page").mkdir(exist_ok=True)
        for name, content in page_files().items():
            write_bytes_atomically(self.root / name if name == HTML else self.root / "page" / name, content)

    def add(
        self, source: MovieSource, predicted: Iterable[Predicted], labels: Mapping[str, Sequence[Interval]],
        played: Played,
    ) -> None:  # fmt: skip
        """A movie, with labels and predictions by person."""
        number = len(self.movies)
        folder, name = self.root / "data" / str(number), f"movie/{number}"
        folder.mkdir()
        where = {person.person_id: at for at, person in enumerate(source.persons)}
        persons = [_described(person, source) for person in source.persons]
        said: dict[int, Any] = {}
        for one in predicted:
            at = where[one.key[1]]
            said[at], persons[at]["doubts"] = self._predicted(folder, name, at, source, one)
            persons[at]["predicted"] = True
            persons[at]["covered"] = _covered(one)
        rows = []
        for at, person in enumerate(source.persons):
            sure = None if person.sure is None else in_steps(person.sure)
            if at not in said:
                write_curves(folder, name, at, Curves(person.status, sure, None, ()), len(source.time_s))
                persons[at]["doubts"] = _doubts(person, source, {})
            rows.append(box_rows(person.box, sure, person.status))
            persons[at]["labelled"] = bool(labels.get(person.person_id))
        if rows:
            write_boxes(folder, name, rows)
        empty = interval_columns((), self.place)
        own = [interval_columns(labels.get(p.person_id, ()), self.place) for p in source.persons]
        write_chunk(folder / "labels.js", f"{name}/labels", own)
        theirs = [said.get(at, empty | {"score": ""}) for at in range(len(persons))]
        write_chunk(folder / "predicted.js", f"{name}/predicted", theirs)
        media = played.media
        if media:
            self.used.add(media.name)
        samples = len(source.time_s)
        whole = {
            "id": source.movie_id, "end": source.end_s, "times": times(source.time_s), "levels": levels(samples),
            "media": media and f"media/{media.name}", "offset": played.offset_s, "note": played.note,
            "proxy": bool(media and media.made), "persons": persons,
        }  # fmt: skip
        write_chunk(folder / "movie.js", name, whole)
        self.movies.append({"id": source.movie_id, "persons": len(persons), "end": source.end_s})

    def _predicted(
        self, folder: Path, name: str, at: int, source: MovieSource, one: Predicted
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Writes a person's curves; returns columns of segments and of uncertain stretches."""
        person, samples = source.persons[at], len(source.time_s)
        first = int(np.searchsorted(source.time_s, one.time_s[0])) if len(one.time_s) else 0
        own = slice(first, first + len(one.time_s))
        if not np.array_equal(source.time_s[own], one.time_s):
            expected = f"scores for the samples that the features of {source.movie_id} have"
            raise InputError(Problem("/".join(one.key), expected, value=f"{len(one.time_s)} others"))
        for action in (*one.actions, *(s.action for s in one.segments)):
            if action not in self.place:
                self.place[action] = len(self.actions)
                self.actions.append(action)
        places = [self.place[action] for action in one.actions]
        scores = np.full((samples, len(places)), 255, np.uint8)
        scores[own] = in_steps(one.scores, one.promised[:, None])
        sure = None if person.sure is None else in_steps(person.sure)
        write_curves(folder, name, at, Curves(person.status, sure, scores, places), samples)
        marks = {}
        found = uncertain(one.scores, one.tau) & one.promised[:, None]
        for column in np.flatnonzero(found.any(0)):
            marks[places[column]] = np.zeros(samples, bool)
            marks[places[column]][own] = found[:, column]
        self.tau, self.predicted = one.tau, True
        columns = interval_columns(one.segments, self.place)
        columns["score"] = packed([NO_SCORE if mean is None else mean for mean in one.means], "<f4")
        return columns, _doubts(person, source, marks)

    def finish(self, others: Sequence[tuple[Any, ...]], about: Sequence[str]) -> Path:
        """`others`: rows of labels.csv for movies that aren't shown. Returns the page's path."""
        write_chunk(self.root / "data" / "others.js", "others", [list(row) for row in others])
        index = {
            "format": FORMAT, "actions": self.actions, "known": len(self.vocabulary) + 1, "absent": ABSENT,
            "statuses": [status.name.lower() for status in FrameStatus], "boxed": [int(s) for s in HAS_BOX],
            "tau": self.tau, "predicted": self.predicted, "movies": self.movies, "about": list(about),
            "tile": TILE, "factor": FACTOR, "boxTile": BOX_TILE, "who": WHO,
        }  # fmt: skip
        for path in self.media.glob("*") if self.media.is_dir() else ():
            if path.name not in self.used:  # of an earlier page, which showed other movies
                path.unlink()
        write_text_atomically(self.root / "data" / "index.js", chunk("index", index))
        return self.root / HTML


def _described(person: PersonSource, source: MovieSource) -> dict[str, Any]:
    return {
        "id": person.person_id, "reference": person.reference, "split": person.split,
        "span": person.span(source.time_s, source.end_s), "tracked": person.status is not None, "predicted": False,
    }  # fmt: skip


def _covered(one: Predicted) -> list[tuple[float, float]]:
    """From when to when there are scores: only there can a prediction be wrong."""
    ends_s = frame_ends(one.time_s)
    return [(float(one.time_s[start]), float(ends_s[stop - 1])) for start, stop in runs_of(one.promised)]


def _doubts(person: PersonSource, source: MovieSource, marks: dict[int, Any]) -> dict[str, str]:
    if person.status is not None and person.sure is not None:
        marks = marks | {WHO: doubted(person.status, person.sure)}
    return stretches(marks, source.time_s, frame_ends(source.time_s))
