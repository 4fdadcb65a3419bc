"""Action lists with ids, as AVA has them: by default its own 80.

In: nothing; a label map (.pbtxt: `item { name: "stand" id: 12 }`, or `label { … label_id: 12 … }`), whose ids may have
gaps, as that of the ActivityNet challenge has, with 60 of the 80; or a CSV as actions.csv, whose rows count from 1.
Out: an `ActionList`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem, raise_problems, shorten
from rhas.manifests.tables import cells
from rhas.manifests.tables.vocabulary import ABSENT, MAX_ACTION_CHARS, Vocabulary, load_vocabulary

AVA_ACTIONS = Path(__file__).with_name("ava_actions.csv")  # of AVA's action list v2.1 and v2.2
_QUOTED = r'"(?:[^"\\\n]|\\.)*"|' + r"'(?:[^'\\\n]|\\.)*'"
_ENTRY = re.compile(rf"\w+\s*\{{((?:[^{{}}\"']|{_QUOTED})*)\}}")
_FIELD = re.compile(rf"(\w+)\s*:\s*({_QUOTED}|[\w.+-]+)")
_ID = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class ActionList:
    """Names of actions by id, from 1, ascending."""

    names: dict[int, str]

    @property
    def vocabulary(self) -> Vocabulary:
        """In the order of the ids, without their gaps."""
        return Vocabulary(tuple(self.names.values()))

    @property
    def last(self) -> int:
        return max(self.names)


def load_action_list(path: Path | None = None) -> ActionList:
    """Raises `InputError` with all problems of the file."""
    if path is not None and path.suffix == ".pbtxt":
        return _load_label_map(path)
    vocabulary = load_vocabulary(AVA_ACTIONS if path is None else path)
    return ActionList(dict(enumerate(vocabulary.actions, start=1)))


def _load_label_map(path: Path) -> ActionList:
    try:
        text = re.sub(r"(?m)^\s*#.*$", "", path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or the path itself holds a NUL
        message = getattr(error, "strerror", None) or error
        raise InputError(Problem(path, f"a readable label map ({message})")) from error
    problems: list[Problem] = []
    if rest := " ".join(_ENTRY.sub(" ", text).split()):
        problems.append(Problem(path, "entries item { name: … id: … } and nothing else", value=shorten(rest)))
    names: dict[int, str] = {}
    for number, entry in enumerate(_ENTRY.findall(text), start=1):
        fields = dict(_FIELD.findall(entry))
        quoted, own = fields.get("name", ""), fields.get("id") or fields.get("label_id") or ""
        name = _text(quoted)
        faults = cells.name_faults(name, MAX_ACTION_CHARS)
        if name.upper() == ABSENT:
            faults.append(f"an action; {ABSENT} is reserved for labels where the person is absent")
        if not _ID.fullmatch(own):
            faults.append("an id from 1")
        elif int(own) in names or name in names.values():
            faults.append("each id and each name once")
        else:
            names[int(own)] = name
        shown = shorten(" ".join(entry.split()))
        problems += [Problem(path, f"{fault} in entry {number}", value=shown) for fault in faults]
    if not names and not problems:
        problems.append(Problem(path, "at least one entry item { name: … id: … }"))
    raise_problems(problems)
    return ActionList(dict(sorted(names.items())))


def _text(quoted: str) -> str:
    """What stands between quotes, whose escapes are Python's too; empty for what is no text."""
    if quoted[:1] not in ("'", '"'):
        return ""
    try:
        return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        return ""
