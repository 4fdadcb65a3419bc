"""What several commands have: options, and how they are interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

EXIT_INTERRUPTED = 130

ActionsOption = Annotated[
    Path | None,
    typer.Option("--actions", help="Your own actions, a CSV with a column action [default: RHAS133's]"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; may be repeated")
]


def interrupt_on_sigterm() -> None:
    """Makes SIGTERM, with which schedulers announce that time is up, a KeyboardInterrupt; further ones are ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
