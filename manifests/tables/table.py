"""A table of text by column: checked a column at a time, and small in memory however many rows it has.

In: rows of text, some at a time. Out: for a column of text the distinct texts and a code per row, for a column of
numbers an array; which cells were rejected, and the problems to tell of. Reading files is left to
`rhas.manifests.tables.csvfile`, what a cell may hold to `rhas.manifests.tables.cells`, how rows relate to each other
to the loaders, which compare sound cells only.

Shapes: N rows of the table, counted from 0; `row_number` says how a spreadsheet counts them.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import SHOWN_PROBLEMS, Problem, Problems, raise_problems, shorten

Bools = NDArray[np.bool_]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHAT_NUMBERS_ARE_MADE_OF = re.compile(r"[0-9+\-.eE\0]*")


class Texts:
    """A column of text. Each text is held once; its code is its place among the distinct ones."""

    def __init__(self) -> None:
        self._code_of: defaultdict[str, int] = defaultdict()
        self._code_of.default_factory = self._code_of.__len__  # a new text gets the next code
        self._codes = array("i")
        self.values: list[str] = []  # the distinct texts, in the order of their first rows

    def close(self) -> None:
        """No more rows come; only now there are `values`."""
        self.values = list(self._code_of)
        del self._code_of  # it is large where all texts differ

    def extend(self, cells: Sequence[str]) -> None:
        self._codes.extend(map(self._code_of.__getitem__, cells))

    @property
    def codes(self) -> NDArray[np.int32]:
        """[N]"""
        return np.asarray(self._codes)

    def __getitem__(self, index: int) -> str:
        return self.values[self._codes[index]]

    def __iter__(self) -> Iterator[str]:
        return map(self.values.__getitem__, self._codes)


class Numbers:
    """A column of numbers. Its texts are kept, joined, so that a message can show a cell as it stands."""

    def __init__(self) -> None:
        self._values = array("d")
        self._joined: list[str] = []
        self._starts: list[int] = []  # first row of each of the joined texts

    def extend(self, cells: Sequence[str]) -> None:
        joined = "\0".join(cells)  # no cell holds a NUL
        self._starts.append(len(self._values))
        self._joined.append(joined)
        self._values.extend(_numbers(cells, joined))

    @property
    def values(self) -> NDArray[np.float64]:
        """[N] finite or not, NaN for a text that is no number."""
        return np.asarray(self._values)

    @property
    def blank(self) -> Bools:
        """[N] where there is no text at all."""
        return np.array([not cell for joined in self._joined for cell in joined.split("\0")], bool)

    def __getitem__(self, index: int) -> str:
        chunk = bisect_right(self._starts, index) - 1
        return self._joined[chunk].split("\0")[index - self._starts[chunk]]


class Table:
    """The columns of a file, and what is wrong with them."""

    def __init__(self, file: Path, columns: Collection[str], numbers: Collection[str] = ()):
        self.file = file
        self.header: Sequence[str] = ()  # the columns that the file has
        self.problems = Problems()
        self.texts = {name: Texts() for name in columns if name not in numbers}
        self.numbers = {name: Numbers() for name in columns if name in numbers}
        self._row_numbers = array("q")
        self._rejected: dict[str, Bools] = {}

    def add_texts(self, columns: Iterable[str]) -> None:
        """More columns of text, before there are rows."""
        self.texts |= {name: Texts() for name in columns}

    def fill(self, rows: Iterable[tuple[Sequence[int], Mapping[str, Sequence[str]]]]) -> None:
        """Takes in all rows, some at a time: what a spreadsheet calls them, and their cells by column.

        A column that isn't given is one of empty cells.
        """
        columns: dict[str, Texts | Numbers] = {**self.texts, **self.numbers}
        for row_numbers, cells in rows:
            self._row_numbers.extend(row_numbers)
            for name, column in columns.items():
                column.extend(cells.get(name) or ("",) * len(row_numbers))
        for texts in self.texts.values():
            texts.close()

    def __len__(self) -> int:
        return len(self._row_numbers)

    def row_number(self, index: int) -> int:
        """What a spreadsheet calls the row."""
        return self._row_numbers[index]

    def check(self, column: str, faults: Callable[[str], Sequence[str]]) -> None:
        """Reject the cells of a column of text in which `faults` finds any; it says what was expected instead."""
        own = self.texts[column]
        counts = np.fromiter((len(faults(value)) for value in own.values), int, len(own.values))
        for at in range(counts.max(initial=0)):

            def expected(row: int, at: int = at) -> str:
                return faults(own[row])[at]

            self.reject(column, counts[own.codes] > at, expected)

    def reject(self, column: str, where: Bools, expected: str | Callable[[int], str]) -> None:
        """Record that the cells of this column aren't what was expected, `where` [N] or, as `expected`, by row."""
        rows = np.flatnonzero(where)
        for row in rows[:SHOWN_PROBLEMS].tolist():
            self.problems.add(self.row_number(row), partial(self._problem, column, row, expected))
        self.problems.count += len(rows[SHOWN_PROBLEMS:])
        self._rejected[column] = where | self._rejected.get(column, False)

    def reject_repeats(
        self, column: str, first: NDArray[np.int64], expected: Callable[[int, int], str]
    ) -> None:
        """Reject rows that are not the first of their kind, as `first_rows` tells.

        `expected` gets the row, and what a spreadsheet calls the first one.
        """
        repeated = first != np.arange(len(self))
        self.reject(column, repeated, lambda row: expected(row, self.row_number(first[row])))

    def sound(self, *columns: str) -> Bools:
        """[N] whether none of these cells is rejected; only then does it say anything to compare them."""
        rejected = [self._rejected[column] for column in columns if column in self._rejected]
        return ~np.logical_or.reduce([np.zeros(len(self), bool), *rejected])

    def raise_problems(self) -> None:
        """Raise `InputError` with the problems so far, if any."""
        raise_problems(self.problems)

    def _problem(self, column: str, row: int, expected: str | Callable[[int], str]) -> Problem:
        text = (self.texts.get(column) or self.numbers[column])[row]
        said = expected if isinstance(expected, str) else expected(row)
        return Problem(self.file, said, self.row_number(row), column, shorten(text))


def first_rows(*keys: NDArray, where: Bools | None = None) -> NDArray[np.int64]:
    """[N] for each row the first that has the same keys [N]; a row that isn't `where` [N] is like no other."""
    rows = np.arange(len(keys[0])) if where is None else np.flatnonzero(where)
    return first_of_neighbours(rows[np.lexsort([key[rows] for key in keys])], *keys)


def first_of_neighbours(order: NDArray[np.int64], *keys: NDArray) -> NDArray[np.int64]:
    """The same, given an `order` of rows in which those with the same keys stand together, as they come in the file."""
    new = np.ones(len(order), bool)
    new[1:] = np.logical_or.reduce([key[order[1:]] != key[order[:-1]] for key in keys])
    first = np.arange(len(keys[0]))
    first[order] = order[new][np.cumsum(new) - 1]
    return first


def runs(keys: NDArray[np.int64]) -> list[slice]:
    """Where keys [N] of 0 or more are the same one after another."""
    bounds = [*np.flatnonzero(np.diff(keys, prepend=-1)).tolist(), len(keys)]
    return [slice(*pair) for pair in pairwise(bounds)]


def _numbers(cells: Sequence[str], joined: str) -> array[float]:
    if _WHAT_NUMBERS_ARE_MADE_OF.fullmatch(joined):
        # Without words, spaces and underscores, `float` takes what the pattern for a single number does.
        with suppress(ValueError):
            return array("d", map(float, cells))
    return array("d", (float(cell) if _NUMBER.fullmatch(cell) else np.nan for cell in cells))
