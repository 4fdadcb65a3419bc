"""Tables: records as Python's csv module reads them, numbers as `decimal` does, first rows as a dict finds them."""

from __future__ import annotations

import csv
import io
import math
import os
import string
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables import csvfile
from rhas.manifests.tables.csvfile import read_headless_table, read_table, write_rows
from rhas.manifests.tables.table import Table, first_of_neighbours, first_rows, runs

COLUMNS = ("a", "b", "n")
PIECES = [
    "a",
    "b,",
    "1.5",
    ",",
    ",",
    ",,",
    "\n",
    "\n",
    "\r\n",
    "\r",
    '"',
    '""',
    "é",
    "\0",
    " ",
    "x,y,3\n",
    '"x\ny",,2\n',
]
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=("Cs",)), max_size=3), max_size=30
)


def by_the_csv_module(text: str) -> tuple[list[tuple[int, list[str]]], int | None]:
    """Records that aren't empty, with their numbers, and the number of the one that is no CSV."""
    records: list[tuple[int, list[str]]] = []
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), start=1):
            records += [(number, cells)] if cells else []
    except csv.Error:
        return records, number + 1
    return records, None


def rows_of(table: Table) -> Iterator[tuple[int, list[str]]]:
    """As they stand in the file; those of numbers too."""
    for row in range(len(table)):
        yield table.row_number(row), [(table.texts.get(name) or table.numbers[name])[row] for name in COLUMNS]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table") / "table.csv"


@settings(deadline=None, max_examples=300)
@given(pieces=TEXTS, at_once=st.integers(1, 5), bom=st.booleans())
def test_records_are_those_of_the_csv_module(file: Path, pieces: list[str], at_once: int, bom: bool) -> None:
    text = "".join(pieces)
    file.write_bytes(("\ufeff" * bom + text).encode())
    with mock.patch.object(csvfile, "_ROWS_AT_ONCE", at_once):
        table = read_headless_table(file, COLUMNS, numbers=("n",))
    records, broken = by_the_csv_module(text.removeprefix("\ufeff") if not bom else text)
    whole = [(number, cells) for number, cells in records if len(cells) == 3 and "\0" not in "".join(cells)]
    assert list(rows_of(table)) == whole
    odd = {number for number, _ in records} - {number for number, _ in whole}
    if not records and broken is None:
        assert [problem.row for problem in table.problems.first()] == [None]
    else:
        told = {problem.row for problem in table.problems.first()}
        assert told == odd | ({broken} if broken else set())


ANYTHING = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)))  # \r is written bare


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), min_size=1))
def test_what_was_written_is_read(file: Path, rows: list[tuple[str, str, str]]) -> None:
    write_rows(file, COLUMNS, rows)
    table = read_table(file, COLUMNS, numbers=("n",))
    assert [tuple(cells) for _, cells in rows_of(table)] == rows and not table.problems.count


def as_decimal(text: str) -> float:
    """NaN unless it is a plain number in ASCII."""
    plain = bool(text) and set(text) <= set(string.digits + "+-.eE")
    try:
        return float(Decimal(text)) if plain else math.nan
    except InvalidOperation:
        return math.nan


CELLS = st.sampled_from(
    [
        "",
        "1",
        "-0",
        "+1.",
        ".5",
        ".",
        "1e5",
        "1e",
        "e5",
        "1E-400",
        "1e999",
        "1_0",
        " 1",
        "nan",
        "inf",
        "٣",
        "0x1",
    ]
)


@settings(deadline=None)
@given(cells=st.lists(CELLS | st.text("0123456789+-.eE ", max_size=7), min_size=1), at_once=st.integers(1, 4))
def test_numbers_are_those_of_decimal(cells: list[str], at_once: int) -> None:
    table = Table(Path("table.csv"), ("n",), numbers=("n",))
    parts = [cells[start : start + at_once] for start in range(0, len(cells), at_once)]
    table.fill((range(len(part)), {"n": part}) for part in parts)
    np.testing.assert_array_equal(table.numbers["n"].values, [as_decimal(cell) for cell in cells])
    assert table.numbers["n"].blank.tolist() == [not cell for cell in cells]
    assert [table.numbers["n"][row] for row in range(len(cells))] == cells


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())))
def test_first_rows_and_runs(rows: list[tuple[int, float, bool]]) -> None:
    known: dict[tuple[int, float], int] = {}
    expected = [known.setdefault(key[:2], at) if key[2] else at for at, key in enumerate(rows)]
    a, b, where = (np.array([row[i] for row in rows], dtype) for i, dtype in enumerate((int, float, bool)))
    first = first_rows(a, b, where=where)
    assert first.tolist() == expected
    order = np.lexsort((b, a))
    np.testing.assert_array_equal(first_of_neighbours(order[where[order]], a, b), first)
    found = [
        key for own in runs(a[order]) for key in {a[order][own.start]} for _ in range(own.start, own.stop)
    ]
    assert found == a[order].tolist() and len(runs(a[order])) == len({*a.tolist()})


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    for text, rows in (("a,b,n\nx,y,1\n", 1), ('a,b,n\nx,y,1\n"', 1), ("a,b,n\n", 0)):
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        table = read_table(Path(f"/dev/fd/{reading}"), COLUMNS)
        os.close(reading)
        assert len(table) == rows and bool(table.problems.count) == (text != "a,b,n\nx,y,1\n")


def test_a_long_cell_of_digits_is_seen_through_at_once(file: Path) -> None:
    """A pattern that tries every way to part the digits would take hours."""
    file.write_text(f"a,b,n\nx,y,{'1' * 130_000}x\n")
    table = read_table(file, COLUMNS, numbers=("n",))
    assert np.isnan(table.numbers["n"].values).tolist() == [True]


def test_a_header_of_a_hundred_thousand_columns(file: Path) -> None:
    file.write_text(",".join(map(str, range(100_000))) + "\n")
    with pytest.raises(InputError) as caught:
        read_table(file, COLUMNS).raise_problems()
    assert (len(caught.value.problems), caught.value.more) == (50, 100_003 - 50)
