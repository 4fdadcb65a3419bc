"""Tables that are no CSV: JSON Lines (.jsonl, .ndjson), an object per line, and Parquet (.parquet).

In: a path. Out: records as a CSV would have them, the header first and all cells as text, so that they are checked
alike; what no cell can hold is a problem of its row. Rows are lines in JSON Lines, and counted from 1 in Parquet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rhas.manifests.common.errors import Problem, Problems, shorten

SUFFIXES = (".jsonl", ".ndjson", ".parquet")
_EXPECTED = "a text, a number, true, false or null"
_ROWS_AT_ONCE = 4096


def read_records(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and cells. Stops with a problem where the file can't be read."""
    read = _parquet if path.suffix.lower() == ".parquet" else _json_lines
    try:
        columns, rows = read(path, problems)
        yield 1, columns
        for number, row in rows:
            cells = [_text(row.get(column)) for column in columns]
            for column, cell in zip(columns, cells, strict=True):
                if cell is None:
                    problems.add(number, Problem(path, _EXPECTED, number, column, shorten(repr(row[column]))))
            if None not in cells:
                yield number, [cell or "" for cell in cells]
    except (OSError, ValueError) as error:  # of pyarrow too; and a path that holds a NUL
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        problems.add(None, Problem(path, f"a readable file ({reason})"))


def _json_lines(path: Path, problems: Problems) -> tuple[list[str], Iterable[tuple[int, dict[str, Any]]]]:
    """Columns are all names that any line has, in the order in which they come."""
    rows = []
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"not an object but {type(row).__name__}")
        except (ValueError, RecursionError) as error:
            value = shorten(line[:200].decode(errors="replace"))
            problems.add(number, Problem(path, f"a JSON object in each line ({error})", number, value=value))
        else:
            rows.append((number, row))
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _parquet(path: Path, _: Problems) -> tuple[list[str], Iterable[tuple[int, dict[str, Any]]]]:
    from pyarrow import parquet  # takes a while to import

    file = parquet.ParquetFile(path)
    batches = file.iter_batches(batch_size=_ROWS_AT_ONCE)
    rows = (row for batch in batches for row in batch.to_pylist())
    return file.schema_arrow.names, enumerate(rows, start=1)


def _text(value: Any) -> str | None:
    """As a cell of a CSV; None for what can't be one. NaN is how pandas writes that there is nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if _is_unicode(value) else None
    return repr(value) if isinstance(value, int | float) else None


def _is_unicode(text: str) -> bool:
    """JSON can spell halves of characters, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
