"""`-v`, `-q` and `--log-file`, wherever in a command they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rhas.pipeline.commands.options import HelpByDefault

_OWN = re.compile(r"-v+|--verbose|-q|--quiet|--log-file")


class TellingAnywhere(HelpByDefault):
    """The command `rhas`: what it takes itself may stand behind the name of a command of it as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, in_front(self, args))


def in_front(command: Any, arguments: Sequence[str]) -> list[str]:
    """The arguments with `rhas`'s own before all others; values of other options, and what follows `--`, stay.

    `command` is the group; its commands say which options take a value.
    """
    own: list[str] = []
    others: list[str] = []
    into, value, ended = others, False, False
    for argument in arguments:
        if value or ended:
            into.append(argument)
            value = False
            continue
        name = argument.partition("=")[0]
        into = own if _OWN.fullmatch(name) else others
        into.append(argument)
        if argument == "--":
            ended = True
        elif into is own:
            value = argument == "--log-file"
        elif argument.startswith("-"):
            value = argument in _taking_values(command)
        else:
            command = getattr(command, "commands", {}).get(argument, command)
    return own + others


def _taking_values(command: Any) -> set[str]:
    options = [one for one in command.params if one.param_type_name == "option"]
    return {name for one in options if not (one.is_flag or one.count) for name in one.opts}
