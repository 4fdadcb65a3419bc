"""The vocabulary: the packaged one, one's own, and what is wrong with it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary, write_vocabulary


def test_packaged_actions() -> None:
    vocabulary = load_vocabulary()
    assert len(vocabulary) == 137
    assert vocabulary.actions[0] == "arranging" and vocabulary.actions[-1] == "yawning"
    assert vocabulary.index("arranging") == 0 and vocabulary.index("yawning") == 136
    assert "walking" in vocabulary and "N/A" not in vocabulary


def test_own_actions_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text("comment,action\nfast,running\nslow,walking\n")
    vocabulary = load_vocabulary(path)
    assert vocabulary == Vocabulary(("running", "walking"))
    assert [vocabulary.index(action) for action in vocabulary.actions] == [0, 1]


def test_background_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text("action,background\nrunning,no\nnothing,yes\nwalking,\nidle,yes\n")
    vocabulary = load_vocabulary(path)
    assert vocabulary == Vocabulary(("running", "nothing", "walking", "idle"), ("nothing", "idle"))
    assert vocabulary.background_indices == (1, 3)
    write_vocabulary(vocabulary, path)
    assert load_vocabulary(path) == vocabulary
    write_vocabulary(Vocabulary(("running",)), path)
    assert path.read_text().splitlines()[0] == "index,action"


def test_unknown_action_is_a_key_error_and_pickling_keeps_all() -> None:
    vocabulary = Vocabulary(("running",))
    with pytest.raises(KeyError):
        vocabulary.index("walking")
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


@pytest.mark.parametrize(
    ("text", "row", "column", "value"),
    [
        ("action\nrunning\nrunning\n", 3, "action", "running"),
        ("action,x\nrunning,\n,\n", 3, "action", ""),
        ("action\nrunning\nN/A\n", 3, "action", "N/A"),
        ("action\nn/a\n", 2, "action", "n/a"),
        ("action\nrunning \n", 2, "action", "running "),
        ("index,action\n1,running\n3,walking\n", 3, "index", "3"),
        ("action,background\nrunning,true\n", 2, "background", "true"),
        ("verb\nrunning\n", 1, "action", None),
        ("action\n", 2, None, None),
        ("", None, None, None),
    ],
)
def test_names_row_column_and_value(
    tmp_path: Path, text: str, row: int | None, column: str | None, value: object
) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_vocabulary(path)
    assert [(p.row, p.column, p.value) for p in caught.value.problems] == [(row, column, value)]
