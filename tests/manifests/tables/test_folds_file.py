"""splits.csv: read, written, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.folds import load_folds, write_folds

NAMES = st.from_regex(r"[a-c0][a-c.-]{0,5}[a-c_]", fullmatch=True)
FOLDS = st.dictionaries(
    st.integers(1, 9), st.dictionaries(NAMES, st.sampled_from(("train", "test")), min_size=1), min_size=1
)


@settings(max_examples=40, deadline=None)
@given(FOLDS)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, folds: dict) -> None:
    path = tmp_path_factory.mktemp("folds") / "splits.csv"
    write_folds(folds, path)
    assert load_folds(path) == folds


def test_every_problem_is_named(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("fold,movie_id,split\n0,a,train\n1,a,val\n1,a ,test\n1,b,train\n1,b,test\n")
    with pytest.raises(InputError) as caught:
        load_folds(path)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (2, "fold"), (3, "split"), (4, "movie_id"), (6, "movie_id"),
    ]  # fmt: skip
