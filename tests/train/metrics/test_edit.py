"""Edit against the textbook's table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.train.metrics.edit import edit_score, set_sequence

ELEMENTS = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=100)


def textbook_distance(a: list[bytes], b: list[bytes]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@given(ELEMENTS, ELEMENTS)
def test_agrees_with_the_table(a: list[bytes], b: list[bytes]) -> None:
    longer = max(len(a), len(b))
    expected = 100 * (1 - textbook_distance(a, b) / longer) if longer else 100
    assert edit_score(a, b) == edit_score(b, a) == pytest.approx(expected)


def test_two_empty_sequences_agree() -> None:
    assert edit_score([], []) == 100
    assert edit_score([], [b"a"]) == 0


def test_a_set_lasts_until_another_or_a_gap() -> None:
    # ∅ ∅ {0} {0} | {0} {0,8} ∅, where | is a gap
    mask = np.zeros((7, 9), dtype=bool)
    mask[2:6, 0] = True
    mask[5, 8] = True
    breaks = np.array([1, 0, 0, 0, 1, 0, 0], dtype=bool)
    empty, first, both = (bytes(pair) for pair in ([0, 0], [128, 0], [128, 128]))
    assert set_sequence(mask, breaks) == [empty, first, first, both, empty]
