"""Options that several commands have, and the exit code of those that were interrupted."""

from __future__ import annotations

from pathlib import Path
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
