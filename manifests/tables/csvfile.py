"""Strict CSV reading and writing, shared by all files that users hand in.

In: a path and the names of its columns. Out: rows that know where they stand, and a list of problems that is
filled while the rows are read. What the cells mean is left to `rhas.manifests.tables.cells` and to the loaders.

Rows are counted as a spreadsheet counts them: by record, the header being row 1. A quoted cell with line
breaks is part of one row, and an empty line is a row of its own, skipped but counted.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem

_SHOWN_CHARS = 80
# Bytes that are not UTF-8 are decoded to lone surrogates, so that they can be traced to their row and column.
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")


@dataclass(frozen=True)
class Row:
    """One record of a file, with the list that its problems go to."""

    file: Path
    number: int
    cells: dict[str, str]
    problems: list[Problem] = field(repr=False)
    rejected: set[str] = field(default_factory=set)

    def __getitem__(self, column: str) -> str:
        """Text of a cell; empty where the file lacks an optional column."""
        return self.cells.get(column, "")

    def reject(self, column: str, expected: str) -> None:
        """Record that the cell of this column isn't what was expected."""
        self.problems.append(Problem(self.file, expected, self.number, column, shorten(self[column])))
        self.rejected.add(column)

    def sound(self, *columns: str) -> bool:
        """Whether none of these cells is rejected; only then does it say anything to compare them."""
        return self.rejected.isdisjoint(columns)


def rows_with_header(
    path: Path,
    problems: list[Problem],
    required: Sequence[str],
    optional: Sequence[str] = (),
    others_allowed: bool = False,
) -> Iterator[Row]:
    """Rows below a header line. Problems are complete only once the rows have been read to the end."""
    records = _records(path, problems)
    before = len(problems)
    number, header = next(records, (1, []))
    if not header:
        if len(problems) == before:
            problems.append(
                Problem(path, f"a header with the columns {', '.join(required)}; the file is empty")
            )
        return
    found = _header_problems(path, number, header, required, optional, others_allowed)
    problems.extend(found)
    if found:
        return
    last = number
    for last, cells in records:
        yield from _row(path, last, header, cells, problems)
    if last == number and len(problems) == before:
        problems.append(Problem(path, "at least one row below the header", row=number + 1))


def rows_without_header(path: Path, problems: list[Problem], columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a file that starts with data, its columns named by the caller; otherwise as above."""
    before, empty = len(problems), True
    for number, cells in _records(path, problems):
        empty = False
        yield from _row(path, number, columns, cells, problems)
    if empty and len(problems) == before:
        problems.append(Problem(path, f"rows of {', '.join(columns)}; the file is empty"))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows atomically; floats keep every digit that they need to be read back the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text_atomically(path, text.getvalue())


def raise_problems(*files: Sequence[Problem]) -> None:
    """Raise the problems of one or more files as one error, each file in the order of its rows, if any."""
    ordered = [problem for file in files for problem in sorted(file, key=lambda problem: problem.row or 0)]
    if ordered:
        raise InputError(ordered)


@functools.lru_cache(maxsize=1024)
def did_you_mean(name: str, known: tuple[str, ...]) -> str:
    """Ending for an error message: the known name that is nearest, or nothing if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shorten(value: str) -> str:
    """Start of a value, short enough for an error message."""
    return value if len(value) <= _SHOWN_CHARS else value[: _SHOWN_CHARS - 3] + "..."


def _records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Numbered records that hold anything; stops with a problem where the file is no longer CSV."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        problems.append(Problem(path, f"a readable file ({getattr(error, 'strerror', None) or error})"))
        return
    text = data.decode("utf-8-sig", errors="surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    number, lines_done = 0, 0
    try:
        for number, cells in enumerate(reader, start=1):
            lines_done = reader.line_num
            if cells:
                yield number, cells
    except csv.Error as error:
        start = shorten(lines[lines_done].rstrip("\r\n"))
        problems.append(Problem(path, f"well-formed CSV ({error})", row=number + 1, value=start))


def _header_problems(
    path: Path,
    number: int,
    header: list[str],
    required: Sequence[str],
    optional: Sequence[str],
    others_allowed: bool,
) -> list[Problem]:
    encoding = _encoding_problems(path, number, (), header)
    if encoding:
        return encoding[:1]  # the whole file is in another encoding, most likely
    known = (*required, *optional)
    found = [
        Problem(path, "a column of this name in a comma-separated header", number, name)
        for name in required
        if name not in header
    ]
    seen: set[str] = set()
    for name in header:
        if name in seen:
            found.append(Problem(path, "each column once", number, shorten(name), shorten(name)))
        elif name not in known and not others_allowed:
            expected = f"only the columns {', '.join(known)}{did_you_mean(name, known)}"
            found.append(Problem(path, expected, number, shorten(name), shorten(name)))
        seen.add(name)
    return found


def _row(
    path: Path, number: int, columns: Sequence[str], cells: list[str], problems: list[Problem]
) -> Iterator[Row]:
    """The row if it can be read at all, otherwise nothing but problems."""
    found = _encoding_problems(path, number, columns, cells)
    if len(cells) != len(columns):
        expected = f"{len(columns)} fields, one per column (a text with commas needs quotes around it)"
        found.append(Problem(path, expected, number, value=len(cells)))
    problems.extend(found)
    if not found:
        yield Row(path, number, dict(zip(columns, cells, strict=True)), problems)


def _encoding_problems(path: Path, number: int, columns: Sequence[str], cells: list[str]) -> list[Problem]:
    found = []
    for position, cell in enumerate(cells):
        bad = _NOT_TEXT.search(cell)
        if bad:
            column = columns[position] if position < len(columns) else None
            value = cell[: bad.end()][-_SHOWN_CHARS:].encode("utf-8", errors="surrogateescape")
            found.append(Problem(path, "UTF-8 text without NUL bytes", number, column, value))
    return found
