"""The words that are said in the made world, and a tokenizer that knows each of them as one token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rhas.extract.weights.random_tokenizers import write_bert_tokenizer
from rhas.pipeline.world.lives import ACTIONS
from rhas.pipeline.world.looks import HAIR, HATS, SHIRTS, TROUSERS

VOCABULARY = 1280  # ids, most of them unused: special tokens and "." keep bert-base-uncased's
_SAID = (
    "the a an in with and who has is wearing on at person man woman short tall left right shirt trousers hair hat "
    "nothing doing"
)


def words() -> tuple[str, ...]:
    """All of them, in the order of their ids."""
    colours = (*SHIRTS, *TROUSERS, *HAIR, *HATS)
    actions = [word for action in ACTIONS for word in action.split()]
    return tuple(dict.fromkeys((*_SAID.split(), *colours, *actions)))


def write_tokenizer(folder: Path) -> Any:
    """Writes the tokenizer's files and returns the tokenizer as transformers reads it from there."""
    from transformers import BertTokenizerFast

    write_bert_tokenizer(folder, VOCABULARY, words())
    return BertTokenizerFast.from_pretrained(folder)
