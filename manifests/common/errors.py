"""Errors that a user can act on.

Every problem with an input names the file, the row, the column, the value and what was expected. Checks
collect all problems and raise them as one `InputError`; the command line prints them and exits with 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it stands, what it says and what was expected."""

    file: str | Path
    expected: str
    row: int | None = None  # as a spreadsheet counts: the header is row 1
    column: str | None = None
    value: object = None

    def __str__(self) -> str:
        where = [str(self.file)]
        if self.row is not None:
            where.append(f"row {self.row}")
        if self.column is not None:
            where.append(f"column {self.column}")
        got = "" if self.value is None else f": got {self.value!r}"
        return f"{', '.join(where)}{got}: expected {self.expected}"


class RhasError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code = 1


class InputError(RhasError):
    """Input that can't be used as it stands; `problems` lists everything wrong with it at once."""

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[list[Problem]]]:
        return type(self), (self.problems,)  # so that it crosses processes whole
