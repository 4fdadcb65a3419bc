"""The actions that can be told apart, in the order of their class indices.

In: a CSV with a column `action`, one action per row; without a file of one's own, the 137 actions of RHAS133
that are packaged here. Out: a `Vocabulary`. A column `background` may say `yes` for actions that stand for nothing
of interest. Other columns are ignored, except that a column `index` has to count the rows from 1, because a file
whose index and order disagree would be read wrongly one way or the other. Which index means what to a model is left
to `train`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rhas.manifests.tables import cells
from rhas.manifests.tables.csvfile import read_table, write_rows
from rhas.manifests.tables.table import first_rows

ABSENT = "N/A"  # in labels: the person is not in the picture; therefore never an action
MAX_ACTION_CHARS = 200
RHAS133_ACTIONS = Path(__file__).with_name("rhas133_actions.csv")


@dataclass(frozen=True)
class Vocabulary:
    """Names of the actions; the place of a name is its class index, from 0."""

    actions: tuple[str, ...]
    background: tuple[str, ...] = ()
    """Those that stand for nothing of interest: segments are scored with and without them."""

    @property
    def background_indices(self) -> tuple[int, ...]:
        return tuple(map(self.index, self.background))

    def index(self, action: str) -> int:
        """Class index of an action; `KeyError` if there is no such action."""
        return self._indices[action]

    def __len__(self) -> int:
        return len(self.actions)

    def __contains__(self, action: object) -> bool:
        return action in self._indices

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {action: index for index, action in enumerate(self.actions)}


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read a vocabulary, by default that of RHAS133; raises `InputError` with all problems of the file."""
    file = RHAS133_ACTIONS if path is None else path
    table = read_table(file, required=("action",), optional=("index", "background"), others="ignored")
    cells.name(table, "action", MAX_ACTION_CHARS)
    reserved = f"an action; {ABSENT} is reserved for labels where the person is absent"
    table.check("action", lambda action: (reserved,) if action.upper() == ABSENT else ())
    actions = table.texts["action"]
    table.reject_repeats(
        "action",
        first_rows(actions.codes, where=table.sound("action")),
        lambda _, first: f"each action once; row {first} has it already",
    )
    if "index" in table.header:
        index = table.texts["index"]
        wrong = np.array([index[row] != str(row + 1) for row in range(len(table))], bool)
        table.reject("index", wrong, lambda row: f"{row + 1}, as the rows are counted")
    background = table.texts["background"]
    table.check("background", lambda cell: () if cell in ("yes", "no", "") else ("yes, no or nothing",))
    table.raise_problems()
    marked = (action for action, cell in zip(actions.values, background, strict=True) if cell == "yes")
    return Vocabulary(tuple(actions.values), tuple(marked))


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write the actions atomically, so that loading the file gives the same vocabulary."""
    rows = list(enumerate(vocabulary.actions, start=1))
    if vocabulary.background:
        marks = ("yes" if action in vocabulary.background else "" for action in vocabulary.actions)
        write_rows(
            path, ("index", "action", "background"), [(*row, m) for row, m in zip(rows, marks, strict=True)]
        )
    else:
        write_rows(path, ("index", "action"), rows)
