"""What comes of one movie's file from an annotation tool: labels and boxes, what was left aside, what is wrong.

Rows that say the same are one. That nobody acts while absent, and the like, is left to `rhas.manifests.tables.labels`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.annotations.names import action_expected
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie
from rhas.manifests.tables.vocabulary import Vocabulary


@dataclass(frozen=True)
class BoxRows:
    """Boxes of a person: times [N] rising, in seconds of movie time, and x1 y1 x2 y2 [N, 4] as shares of the frame."""

    time_s: NDArray[np.float64]
    box: NDArray[np.float32]


@dataclass
class Drawn:
    """What a file says of a movie's persons, gathered while it is read; `end` raises what is wrong with it."""

    file: Path
    movie: Movie
    vocabulary: Vocabulary
    labels: dict[str, set[Interval]] = field(default_factory=dict)
    boxes: dict[str, BoxRows] = field(default_factory=dict)
    aside: Counter[str] = field(default_factory=Counter)
    """What says nothing of anybody here, and how often."""
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, place: str, expected: str, value: object = None) -> None:
        self.problems.append(Problem(self.file, expected, column=place, value=value))

    def label(self, person_id: str, action: str, start_s: float, end_s: float, place: str) -> None:
        """An interval, from `place` in the file."""
        action = action.strip()
        if expected := action_expected(action, self.vocabulary):
            self.refuse(place, expected, action)
        elif not 0 <= start_s < end_s:
            self.refuse(
                place,
                "a time from the movie's beginning on, and an end after it",
                f"{start_s:g} to {end_s:g}",
            )
        else:
            self.labels.setdefault(person_id, set()).add(Interval(action, start_s, end_s))

    def end(self) -> Drawn:
        """Raises InputError with all that is wrong."""
        if self.problems:
            raise InputError(self.problems)
        return self

    def intervals(self) -> Mapping[tuple[str, str], Sequence[Interval]]:
        """As `Labels` has them."""
        return {
            (self.movie.movie_id, person_id): sorted(own, key=lambda interval: interval.place)
            for person_id, own in self.labels.items()
        }

    def told(self) -> Iterator[str]:
        """Lines on what was left aside, and on persons of whom nothing is said."""
        for what, count in self.aside.items():
            yield f"{self.file}: left aside: {what}" + (f" ({count})" if count > 1 else "")
        silent = [p.person_id for p in self.movie.persons if p.person_id not in self.labels]
        if silent:
            yield f"{self.file}: no labels of {', '.join(silent)}"


def lanes(intervals: Sequence[Interval]) -> list[list[Interval]]:
    """The intervals dealt out so that none overlap in a lane, as few lanes as will do."""
    dealt: list[list[Interval]] = []
    for interval in sorted(intervals, key=lambda interval: interval.place):
        free = next((lane for lane in dealt if lane[-1].end_s <= interval.start_s), None)
        if free is None:
            dealt.append(free := [])
        free.append(interval)
    return dealt
