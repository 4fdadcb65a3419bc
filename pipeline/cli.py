"""The command `rhas`.

Exit codes: 0 all done, 1 failed or (verify) inconsistent, 2 unusable input, 3 some movies or windows failed,
4 too many failed, 130 interrupted. A second interrupt ends the process where it is, with 130 (SIGINT) or 143 (SIGTERM).
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rhas import __version__
from rhas.manifests.common.secrets import redacted
from rhas.pipeline.commands import extract, features, train
from rhas.pipeline.commands.annotate import annotate_app
from rhas.pipeline.commands.anywhere import TellingAnywhere
from rhas.pipeline.commands.config import commands as config_commands
from rhas.pipeline.commands.demo import commands as demo_commands
from rhas.pipeline.commands.doctor import commands as doctor_commands
from rhas.pipeline.commands.find import commands as find_commands
from rhas.pipeline.commands.imports import import_app
from rhas.pipeline.commands.options import EXTRACT, LOOK, TRAIN
from rhas.pipeline.commands.ravar import ravar_app
from rhas.pipeline.commands.view import commands as view_commands
from rhas.pipeline.commands.world import world_app
from rhas.pipeline.stages import commands as stages
from rhas.pipeline.views.telling import said, set_up

app = typer.Typer(
    cls=TellingAnywhere,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rhas {__version__}")
        raise typer.Exit


@app.callback()
def rhas(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Which version this is")
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Also what is noted of the work; -vv: more")
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Neither progress nor hints; errors and results only")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", help="Keep progress, warnings and errors, with times; appended to"),
    ] = None,
) -> None:
    """Referring human action segmentation: say what the person a sentence names does, frame by frame."""
    set_up(-1 if quiet else verbose, log_file)
    said.info("rhas %s: %s", __version__, redacted(shlex.join(sys.argv[1:])))


for commands in (
    extract.commands,
    features.commands,
    train.commands,
    stages.commands,
    config_commands,
    demo_commands,
    doctor_commands,
    find_commands,
    view_commands,
):
    app.add_typer(commands)
app.add_typer(import_app, name="import", rich_help_panel=EXTRACT)
app.add_typer(annotate_app, name="annotate", rich_help_panel=LOOK)
app.add_typer(ravar_app, name="ravar", rich_help_panel=TRAIN)
app.add_typer(world_app, name="world", rich_help_panel=EXTRACT)


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
        said.error("%s", error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            said.exception("unforeseen")
            raise
        # Such as a full disk, or one that is gone: what is finished is whole, and stays.
        typer.echo(f"error: {error.filename}: {error.strerror}; a rerun goes on from what is there", err=True)
        said.error("%s", error)
        sys.exit(1)
    except Exception:
        said.exception("unforeseen")
        raise
    finally:
        ignore_from_now_on()


if __name__ == "__main__":
    main()
