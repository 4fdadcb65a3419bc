"""Which tokens see each other, found out from one row on the CPU: what the port finds in every row."""

from __future__ import annotations

import pytest
import torch
from transformers.models.grounding_dino import modeling_grounding_dino as module

from rhas.extract.ground.port import _phrases

CLS, SEP, DOT, QUESTION = 101, 102, 1012, 1029


@pytest.mark.parametrize(
    "ids",
    [
        [CLS, 2000, 2001, DOT, SEP],
        [CLS, 2000, DOT, 2001, 2002, QUESTION, 2003, DOT, SEP],
        [CLS, DOT, SEP],
        [CLS, 2000, SEP],
    ],
)
def test_phrases_are_the_ports(ids: list[int]) -> None:
    find = module.generate_masks_with_special_tokens_and_transfer_map
    rows_BL = torch.tensor([ids] * 3)
    expected = find(rows_BL)
    with _phrases(torch.tensor(ids)):
        found = module.generate_masks_with_special_tokens_and_transfer_map(rows_BL)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert module.generate_masks_with_special_tokens_and_transfer_map is find
