"""What a single cell may hold: ids, texts, times.

In: a row and a column name. Out: the value; a cell that is not as it should be is rejected on its row, and
what comes back in its place only lets the check of the other cells go on. How rows relate to each other is
left to the loaders, which compare sound cells only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

from rhas.manifests.tables.csvfile import Row

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_identifier(value: str) -> bool:
    """Whether it is safe as a file name and as a dataset name."""
    return _ID.fullmatch(value) is not None and not value.endswith(".")


def identifier(row: Row, column: str) -> str:
    """An id: see `is_identifier`."""
    value = row[column]
    if not is_identifier(value):
        row.reject(
            column,
            "an id of 1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit "
            "and not ending with a dot",
        )
    return value


def text(row: Row, column: str, max_chars: int) -> str:
    """A text that is not blank and that prints on one line."""
    value = row[column]
    if not value.strip():
        row.reject(column, "a text that is not empty")
    elif any(unicodedata.category(char) == "Cc" for char in value):
        row.reject(column, "a text without line breaks, tabs or other control characters")
    elif len(value) > max_chars:
        row.reject(column, f"a text of at most {max_chars} characters, not {len(value)}")
    return value


def name(row: Row, column: str, max_chars: int = 4096) -> str:
    """A text that is compared or opened as it stands, so that spaces around it are surely a slip."""
    value = text(row, column, max_chars)
    if value.strip() and value != value.strip():
        row.reject(column, "a text without spaces around it")
    return value


def number(row: Row, column: str, expected: str, least: float, most: float, default: float = 0.0) -> float:
    """A finite number between two bounds (both included); `default` stands in for a rejected cell."""
    value = float(row[column]) if _NUMBER.fullmatch(row[column]) else math.nan
    if math.isfinite(value) and least <= value <= most:
        return value
    row.reject(column, expected)
    return default


def whole_number(row: Row, column: str, least: int) -> int:
    """A whole number of at most 18 digits, so that it fits in 64 bits; `least` stands in for a rejected cell."""
    if _WHOLE.fullmatch(row[column]) and int(row[column]) >= least:
        return int(row[column])
    row.reject(column, f"a whole number from {least}, of at most 18 digits")
    return least


def span(row: Row, required: bool) -> tuple[float, float]:
    """Columns start_s and end_s; empty cells, where allowed, mean from the beginning and to the end."""
    start_s = _time(row, "start_s", required, default=0.0)
    end_s = _time(row, "end_s", required, default=math.inf)
    if row.sound("start_s", "end_s") and end_s <= start_s:
        row.reject("end_s", f"a time after start_s, {start_s}")
    return start_s, end_s


def reject_case_twins(entries: Iterable[tuple[Row, str, str]], column: str) -> None:
    """Reject ids that differ only in case from an earlier one: file systems may take them for the same.

    Entries are (row, scope, id); ids of different scopes are not compared.
    """
    first: dict[tuple[str, str], tuple[str, int]] = {}
    for row, scope, value in entries:
        known, at = first.setdefault((scope, value.lower()), (value, row.number))
        if value != known:
            row.reject(column, f"an id that differs from {known!r} in row {at} by more than case")


def _time(row: Row, column: str, required: bool, default: float) -> float:
    if not row[column] and not required:
        return default
    return number(row, column, "a finite time in seconds, 0 or more", 0.0, math.inf, default)
