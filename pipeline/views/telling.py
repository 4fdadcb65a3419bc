"""How much is said, and where: on a terminal as it is, elsewhere with times, and all of it in a log file if asked for.

In: `-v`, `-q` and `--log-file`, then lines. What is logged, here and in libraries, goes to stderr; with a log file
Python's warnings are logged too. Progress is printed, and told to the logger `rhas.said`, which only the log file
listens to.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.secrets import scrubbed

if TYPE_CHECKING:  # takes a while to import, and options are read before
    from rich.console import Console

_TIME = "%Y-%m-%d %H:%M:%S"
_TIMED = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}

said = logging.getLogger("rhas.said")
said.propagate = False
said.addHandler(logging.NullHandler())  # until it is said where it goes
_quiet = False
_handlers: list[logging.Handler] = []


class _Told(logging.Formatter):
    """Whatever is logged, by whichever library: no line keeps what an address has of credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(super().format(record))


class _Stderr(logging.StreamHandler):
    """Writes to what stderr is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def set_up(verbosity: int, log_file: Path | None) -> None:
    """`verbosity`: -1 is quiet, 0 as usual; more: what rhas notes of its work too. Raises InputError for a bad file."""
    global _quiet
    _quiet = verbosity < 0
    shown = _Stderr()
    shown.setLevel(_LEVELS[min(verbosity, 2)])
    shown.setFormatter(_Told("%(message)s" if sys.stderr.isatty() else _TIMED, _TIME))
    handlers: list[logging.Handler] = [shown]
    if log_file is not None:
        handlers.append(_kept(log_file, min(logging.INFO, shown.level)))
    everyone = logging.getLogger()
    for handler in _handlers:
        everyone.removeHandler(handler)
        said.removeHandler(handler)
        handler.close()
    for handler in handlers:
        everyone.addHandler(handler)
    for handler in handlers[1:] or [logging.NullHandler()]:
        said.addHandler(handler)
    _handlers[:] = handlers
    logging.captureWarnings(log_file is not None)  # else they are printed as ever
    logging.getLogger("rhas").setLevel(min(handler.level for handler in handlers))
    said.setLevel(logging.INFO)


def _kept(log_file: Path, level: int) -> logging.Handler:
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(log_file, encoding="utf-8")
    except OSError as error:
        expected = f"a file that can be written ({error.strerror})"
        raise InputError(Problem("--log-file", expected, value=str(log_file))) from error
    handler.setLevel(level)
    handler.setFormatter(_Told(_TIMED, _TIME))
    return handler


def quiet() -> bool:
    """Whether progress and hints are left out."""
    return _quiet


def say(line: str) -> None:
    """A line that stands before the work: as it is, wherever it goes."""
    said.info("%s", line)
    if not _quiet:
        print(line, flush=True)


def tell(console: Console, line: str) -> None:
    """A line of progress."""
    said.info("%s", line)
    if not _quiet:
        timed = line if console.is_terminal else f"{time.strftime(_TIME)}  {line}"
        console.print(timed, highlight=False, markup=False, soft_wrap=True)
