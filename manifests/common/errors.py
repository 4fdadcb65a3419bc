"""Errors that a user can act on.

Every problem with an input names the file, the row, the column, the value and what was expected. Checks
collect all problems and raise them as one `InputError`; the command line prints it and exits with 2. A table may
hold a million problems, so `Problems` counts them and keeps only the first `SHOWN_PROBLEMS`, which are all that is
ever printed.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from rhas.manifests.common.secrets import redacted, redacted_value

SHOWN_PROBLEMS = 50
SHOWN_CHARS = 80
_NEAR = 60  # percent of the letters of two names that agree, in their order


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it stands, what it says and what was expected."""

    file: str | Path
    expected: str
    row: int | None = None  # as a spreadsheet counts: the header is row 1
    column: str | None = None
    value: object = None

    def __str__(self) -> str:
        where = [str(redacted_value(str(self.file)))]
        if self.row is not None:
            where.append(f"row {self.row}")
        if self.column is not None:
            where.append(f"column {self.column}")
        got = "" if self.value is None else f": got {redacted_value(self.value)!r}"
        return redacted(f"{', '.join(where)}{got}: expected {self.expected}")


class RhasError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code = 1


class InputError(RhasError):
    """Input that can't be used as it stands; `problems` lists what is wrong with it, `more` counts what it doesn't.

    Its text has a line for each of the first problems, and one that counts the others.
    """

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem], more: int = 0):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        self.more = more
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        untold = len(self.problems) - len(lines) + more
        super().__init__("\n".join(lines + [f"and {untold} more problems"] * (untold > 0)))

    @classmethod
    def of(cls, errors: Sequence[InputError]) -> InputError:
        """Several errors as one, in their order."""
        problems = [problem for error in errors for problem in error.problems]
        return cls(problems, sum(error.more for error in errors))

    def __reduce__(self) -> tuple[type[InputError], tuple[list[Problem], int]]:
        return type(self), (self.problems, self.more)  # so that it crosses processes whole


class Problems:
    """What is wrong with a file: how many problems, and the first of them by row.

    Problems of one row keep the order in which they were added; those without a row come first.
    """

    def __init__(self, problems: Iterable[Problem] = ()):
        self.count = 0
        self._first: list[tuple[int, Problem | Callable[[], Problem]]] = []
        for problem in problems:
            self.add(problem.row, problem)

    def add(self, row: int | None, problem: Problem | Callable[[], Problem]) -> None:
        """A problem, or what makes it if it is asked for."""
        self.count += 1
        place = row or 0
        if len(self._first) < SHOWN_PROBLEMS or place < self._first[-1][0]:
            insort(self._first, (place, problem), key=itemgetter(0))
            del self._first[SHOWN_PROBLEMS:]

    def first(self) -> list[Problem]:
        """At most `SHOWN_PROBLEMS`, by row."""
        return [problem if isinstance(problem, Problem) else problem() for _, problem in self._first]


def raise_problems(*files: Problems | Iterable[Problem]) -> None:
    """Raise the problems of one or more files as one error, each file in the order of its rows, if any."""
    all_files = [file if isinstance(file, Problems) else Problems(file) for file in files]
    if count := sum(file.count for file in all_files):
        first = [problem for file in all_files for problem in file.first()]
        raise InputError(first, count - len(first))


def shorten(value: str) -> str:
    """Start of a value, short enough for an error message."""
    value = str(redacted_value(value))  # first, or what ends a password would be cut off
    return value if len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 3] + "..."


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Ending for an error message: the known name that is nearest, or nothing if none is near."""
    from rapidfuzz import fuzz, process  # not to be waited for where nothing is wrong

    near = process.extractOne(name, known, scorer=fuzz.ratio, score_cutoff=_NEAR)
    return f"; did you mean {near[0]!r}?" if near else ""
