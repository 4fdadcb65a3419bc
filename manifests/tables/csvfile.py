"""Strict CSV reading and writing, shared by all files that users hand in.

Fields are divided by commas, or by semicolons or tabs if the header has no comma; JSON Lines and Parquet become the
same (`rhas.manifests.tables.records`).

In: a path and the names of its columns. Out: a `Table`, whose problems are so far those of rows that can't be read at
all. What the cells mean is left to `rhas.manifests.tables.cells` and to the loaders.

Rows are counted as a spreadsheet counts them: by record, the header being row 1. A quoted cell with line
breaks is part of one row, and an empty line is a row of its own, skipped but counted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TextIO

from rhas.manifests.common.atomic import written_atomically
from rhas.manifests.common.errors import SHOWN_CHARS, Problem, Problems, did_you_mean, shorten
from rhas.manifests.tables.records import SUFFIXES, read_records
from rhas.manifests.tables.table import Table

_ROWS_AT_ONCE = 256  # so few at a time never make the garbage collector look through all that is there
# Bytes that are not UTF-8 are decoded to lone surrogates, so that they can be traced to their row and column.
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")

_Record = tuple[int, list[str]]  # row number and cells


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    numbers: Collection[str] = (),
    others: Literal["refused", "ignored", "kept"] = "refused",
) -> Table:
    """The rows below a header line; `numbers` says which of the columns hold numbers.

    `others`: what becomes of columns of other names. Those that are kept are text; but a name that is nearly that of an
    optional column which is not there is refused.
    """
    table = Table(path, (*required, *optional), numbers)
    problems = table.problems
    records = read_records(path, problems) if path.suffix.lower() in SUFFIXES else _records(path, problems)
    number, header = next(records, (1, []))
    if not header:
        if not problems.count:
            expected = f"a header with the columns {', '.join(required)}; the file is empty"
            problems.add(None, Problem(path, expected))
        return table
    before = problems.count  # of rows that JSON Lines can't be read in
    _check_header(path, problems, number, header, required, optional, others)
    if problems.count == before:
        table.header = header
        if others == "kept":
            table.add_texts(name for name in header if name not in (*required, *optional))
        table.fill(_by_column(path, problems, header, records))
        if not len(table) and not problems.count:
            problems.add(number, Problem(path, "at least one row below the header", row=number + 1))
    return table


def read_headless_table(path: Path, columns: Sequence[str], numbers: Collection[str] = ()) -> Table:
    """The rows of a file that starts with data, its columns named by the caller; otherwise as above."""
    table = Table(path, columns, numbers)
    problems = table.problems
    table.fill(_by_column(path, problems, columns, _records(path, problems)))
    if not len(table) and not problems.count:
        problems.add(None, Problem(path, f"rows of {', '.join(columns)}; the file is empty"))
    return table


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows atomically; floats keep every digit that they need to be read back the same."""
    lines = chain((columns,), rows)
    with written_atomically(path) as file:
        while some := list(islice(lines, _ROWS_AT_ONCE)):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(some)
            file.write(text.getvalue().encode("utf-8"))


def _records(path: Path, problems: Problems) -> Iterator[_Record]:
    """Records that hold anything; stops with a problem where the file can't be read or is no longer CSV."""
    number, lines_done = 0, 0
    try:
        with _opened(path) as file:
            first = _with_first_text(file)
            reader = csv.reader(chain(first, file), strict=True, delimiter=_delimiter(first))
            for number, cells in enumerate(reader, start=1):
                lines_done = reader.line_num
                if cells:
                    yield number, cells
    except csv.Error as error:
        expected = f"well-formed CSV ({error})"
        problems.add(number + 1, Problem(path, expected, number + 1, value=_line(path, lines_done)))
    except (OSError, ValueError) as error:  # ValueError: the path itself holds a NUL
        expected = f"a readable file ({getattr(error, 'strerror', None) or error})"
        problems.add(None, Problem(path, expected))


def _with_first_text(file: TextIO) -> list[str]:
    """The first line that isn't empty, and the lines before it."""
    lines = []
    for line in file:
        lines.append(line)
        if line.strip():
            break
    return lines


def _delimiter(lines: Sequence[str]) -> str:
    """A header's names hold none of these; what divides numbers holds commas."""
    return next((mark for mark in ",;\t" if lines and mark in lines[-1]), ",")


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _line(path: Path, number: int) -> str | None:
    """Start of a line, from 0; None of what can be read only once, such as a pipe."""
    if not path.is_file():
        return None
    with _opened(path) as file:
        return shorten(next(islice(file, number, None), "").rstrip("\r\n"))


def _check_header(
    path: Path,
    problems: Problems,
    number: int,
    header: list[str],
    required: Sequence[str],
    optional: Sequence[str],
    others: str,
) -> None:
    foreign = next(_not_text(path, number, (), header), None)
    if foreign is not None:
        problems.add(number, foreign)  # once: the whole file is in another encoding, most likely
        return
    known = (*required, *optional)

    def no_column(name: str) -> Problem:
        listed = ", ".join(known)
        expected = (
            f"only the columns {listed}"
            if others == "refused"
            else f"one of the columns {listed}, or a name unlike theirs"
        )
        expected += did_you_mean(name, known)
        return Problem(path, expected, number, shorten(name), shorten(name))

    def meant(name: str) -> bool:
        """Whether it stands for a column that is not there, or for none at all."""
        return not name.strip() or bool(
            did_you_mean(name, [column for column in known if column not in header])
        )

    for name in required:
        if name not in header:
            expected = "a column of this name in the header, divided by commas, semicolons or tabs"
            problems.add(number, Problem(path, expected, number, name))
    seen: set[str] = set()
    for name in header:
        if name in seen:
            problems.add(number, Problem(path, "each column once", number, shorten(name), shorten(name)))
        elif name not in known and (others == "refused" or (others == "kept" and meant(name))):
            problems.add(number, partial(no_column, name))
        seen.add(name)


def _by_column(
    path: Path, problems: Problems, columns: Sequence[str], records: Iterator[_Record]
) -> Iterator[tuple[Sequence[int], dict[str, list[str]]]]:
    """Row numbers, and cells by column, of the records that can be read; the others are problems."""
    width = len(columns)
    while some := list(islice(records, _ROWS_AT_ONCE)):
        numbers, rows = zip(*some, strict=True)
        texts = list(chain.from_iterable(rows))
        if set(map(len, rows)) != {width} or not _is_text("".join(texts)):
            some = [record for record in some if _is_readable(path, problems, columns, *record)]
            numbers = tuple(number for number, _ in some)
            texts = [text for _, cells in some for text in cells]
        if numbers:
            yield numbers, {name: texts[i::width] for i, name in enumerate(columns)}


def _is_readable(
    path: Path, problems: Problems, columns: Sequence[str], number: int, cells: list[str]
) -> bool:
    found = list(_not_text(path, number, columns, cells))
    if len(cells) != len(columns):
        expected = f"{len(columns)} fields, one per column (a text with commas needs quotes around it)"
        found.append(Problem(path, expected, number, value=len(cells)))
    for problem in found:
        problems.add(number, problem)
    return not found


def _is_text(text: str) -> bool:
    plain = text.isascii() and "\0" not in text  # much faster to see
    return plain or not _NOT_TEXT.search(text)


def _not_text(path: Path, number: int, columns: Sequence[str], cells: list[str]) -> Iterator[Problem]:
    for position, cell in enumerate(cells):
        if bad := _NOT_TEXT.search(cell):
            column = columns[position] if position < len(columns) else None
            value = cell[: bad.end()][-SHOWN_CHARS:].encode("utf-8", errors="surrogateescape")
            yield Problem(path, "UTF-8 text without NUL bytes", number, column, value)
