"""What a single cell may hold: ids, texts, numbers, times.

In: a table and the name of a column. Out: its values; cells that are not as they should be are rejected in the
table, and what comes back in their place means nothing. How rows relate to each other is left to the loaders,
which compare sound cells only.

Shapes: N rows of the table.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.names import MAX_BYTES, file_name
from rhas.manifests.tables.table import Bools, Table, first_rows

_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")  # category Cc, all of it

ID = (
    f"an id: a text without line breaks or spaces around it, of at most {MAX_BYTES} bytes as the name of a file, where "
    "others than ASCII letters, digits, '.', '_' and '-' are escaped, as in URLs"
)


def is_identifier(value: str) -> bool:
    """Whether it can be written into tables, and stand in the names of files and datasets."""
    try:
        return not name_faults(value) and len(file_name(value)) <= MAX_BYTES
    except UnicodeEncodeError:  # no text, as file names may be
        return False


def text_faults(value: str, max_chars: int) -> list[str]:
    """What a text should be instead: not blank, and printed on one line."""
    if not value.strip():
        return ["a text that is not empty"]
    if _CONTROL.search(value):
        return ["a text without line breaks, tabs or other control characters"]
    if len(value) > max_chars:
        return [f"a text of at most {max_chars} characters, not {len(value)}"]
    return []


def name_faults(value: str, max_chars: int = 4096) -> list[str]:
    """The same of a text that is compared or opened as it stands, so that spaces around it are surely a slip."""
    spaces = value.strip() and value != value.strip()
    return text_faults(value, max_chars) + ["a text without spaces around it"] * bool(spaces)


def identifier(table: Table, column: str) -> None:
    """Ids: see `is_identifier`."""
    table.check(column, lambda value: () if is_identifier(value) else (ID,))


def text(table: Table, column: str, max_chars: int) -> None:
    """Texts: see `text_faults`."""
    table.check(column, lambda value: text_faults(value, max_chars))


def name(table: Table, column: str, max_chars: int = 4096) -> None:
    """Names: see `name_faults`."""
    table.check(column, lambda value: name_faults(value, max_chars))


def one_of(table: Table, column: str, values: tuple[str, ...], expected: str) -> None:
    """Nothing but these texts."""
    table.check(column, lambda value: () if value in values else (expected,))


def number(
    table: Table, column: str, expected: str, least: float, most: float, blank: float | None = None
) -> NDArray[np.float64]:
    """[N] finite numbers between two bounds (both included); an empty cell is `blank`, or an error without."""
    own = table.numbers[column]
    values = own.values
    fits = np.isfinite(values) & (least <= values) & (values <= most)
    if blank is not None:
        fits |= own.blank
        values = np.where(own.blank, blank, values)
    table.reject(column, ~fits, expected)
    return values


def whole_number(table: Table, column: str, least: int, blank: int | None = None) -> NDArray[np.int64]:
    """[N] whole numbers of at most 18 digits, so that they fit in 64 bits; an empty cell is as for `number`."""

    def value(text: str) -> int | None:
        if not text:
            return blank
        return int(text) if _WHOLE.fullmatch(text) and int(text) >= least else None

    expected = f"a whole number from {least}, of at most 18 digits"
    table.check(column, lambda text: (expected,) if value(text) is None else ())
    own = table.texts[column]
    return np.array([value(text) or 0 for text in own.values], np.int64)[own.codes]


def span(table: Table, required: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns start_s and end_s; empty cells, where allowed, mean from the beginning and to the end."""
    expected = "a finite time in seconds, 0 or more"
    start_s = number(table, "start_s", expected, 0.0, math.inf, None if required else 0.0)
    end_s = number(table, "end_s", expected, 0.0, math.inf, None if required else math.inf)
    ends_early = table.sound("start_s", "end_s") & (end_s <= start_s)
    table.reject("end_s", ends_early, lambda row: f"a time after start_s, {start_s[row]}")
    return start_s, end_s


def no_case_twin(known: str, row: int) -> str:
    """What is expected instead of an id that file systems may take for an earlier one."""
    return f"an id that differs from {known!r} in row {row} by more than case"


def reject_case_twins(table: Table, where: Bools, column: str, *scope: NDArray) -> None:
    """Reject ids that differ only in case from an earlier one.

    Rows that are not `where` [N] are left out; ids of different `scope` [N], where there is any, are not compared.
    """
    ids = table.texts[column]
    lower: dict[str, int] = {}
    folded = np.array([lower.setdefault(value.lower(), len(lower)) for value in ids.values], int)[ids.codes]
    first = first_rows(*scope, folded, where=where)
    table.reject(
        column,
        ids.codes != ids.codes[first],
        lambda row: no_case_twin(ids[first[row]], table.row_number(first[row])),
    )
