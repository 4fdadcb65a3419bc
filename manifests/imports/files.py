"""What lies in a folder, the lines of a text file, names of videos; what can't be read is an InputError."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem, shorten
from rhas.manifests.tables import cells


def files_in(folder: Path, suffix: str) -> list[Path]:
    """Files whose name ends so, sorted; hidden ones, which some systems leave beside others, don't count."""
    with _readable(folder, f"a folder of {suffix} files"):
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and path.name[0] != ".")


def text_lines(path: Path) -> list[str]:
    """Lines without spaces around them; empty ones at the end don't count, but there has to be another."""
    with _readable(path, "a readable text file"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(Problem(path, "at least one line; the file is empty"))
    return lines


def check_names(names: Iterable[str], file: Path) -> Iterator[Problem]:
    """Names of videos, in order, that can't be movie_ids, or that file systems may take for each other."""
    first: dict[str, str] = {}
    for name in names:
        known = first.setdefault(name.lower(), name)
        if not cells.is_identifier(name):
            yield Problem(file, cells.ID, column="name", value=shorten(name))
        elif name != known:
            expected = f"a name that differs from {known!r} by more than case"
            yield Problem(file, expected, column="name", value=name)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or the path itself holds a NUL
        message = getattr(error, "strerror", None) or error
        raise InputError(Problem(path, f"{what} ({message})")) from error
