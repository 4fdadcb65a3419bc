"""The command `rhas`.

Exit codes: 0 all done, 1 failed or (verify) inconsistent, 2 unusable input, 3 some movies or windows failed,
4 too many failed, 130 interrupted. A second interrupt ends the process where it is, with 130 (SIGINT) or 143 (SIGTERM).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rhas.pipeline.commands import extract, train
from rhas.pipeline.commands.config import commands as config_commands
from rhas.pipeline.commands.imports import import_app
from rhas.pipeline.commands.options import interruptible_work
from rhas.pipeline.commands.world import world_app
from rhas.pipeline.stages import commands as stages

app = typer.Typer(
    help="Referring human action segmentation: say what the person a sentence names does, frame by frame.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (extract.commands, train.commands, stages.commands, config_commands):
    app.add_typer(commands)
app.add_typer(import_app, name="import")
app.add_typer(world_app, name="world")


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for movies, features, run and report")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer movies and less training")] = False,
) -> None:
    """Make movies, take them through both stages with small models, and leave a page that shows it."""
    with interruptible_work("the same command goes on from there"):
        from rhas.pipeline.programs.demo import FULL, QUICK, run_demo

        code = run_demo(out, QUICK if quick else FULL)
    raise typer.Exit(code)


def main() -> None:
    """Entry point: errors that users can act on become messages, not tracebacks."""
    from rhas.manifests.common.errors import RhasError
    from rhas.manifests.common.interruption import ignore_from_now_on
    from rhas.manifests.common.processes import ENDS_WITH_PARENT, die_with_parent

    if os.environ.pop(ENDS_WITH_PARENT, ""):
        die_with_parent()

    try:
        app()
    except RhasError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # Such as a full disk, or one that is gone: what is finished is whole, and stays.
        typer.echo(f"error: {error.filename}: {error.strerror}; a rerun goes on from what is there", err=True)
        sys.exit(1)
    finally:
        ignore_from_now_on()


if __name__ == "__main__":
    main()
