"""Tokenizers for models that are made here: nothing downloaded.

They know single characters, and words if they are given some. Characters are enough for any ASCII sentence to become
tokens, different ones for different sentences, which is all that a model with random weights can use.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path

BERT_BASE_VOCABULARY = 30522
_SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
# In bert-base-uncased the printable ASCII characters stand from id 999 on, in the order of their codes and
# without the capitals, which puts "." at 1012 and "?" at 1029; GroundingDINO's ports rely on those two ids.
_FIRST_CHARACTER = 999
_CHARACTERS = [c for c in map(chr, range(33, 127)) if c not in string.ascii_uppercase]


def write_bert_tokenizer(folder: Path, vocab_size: int = 1280, words: Sequence[str] = ()) -> None:
    """Writes a lower-casing BERT tokenizer (`vocab.txt`, `tokenizer_config.json`) of ASCII characters and `words`.

    Special tokens, "." and "?" have their ids of bert-base-uncased; the continuations ("##a") follow the
    characters and the words these; the rest of the `vocab_size` ids are fillers that no text produces.
    """
    pieces = [*_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *(word for word in words if len(word) > 1)]
    if vocab_size < _FIRST_CHARACTER + len(pieces):
        raise ValueError(f"got {vocab_size = }, expected at least {_FIRST_CHARACTER + len(pieces)}")
    vocabulary = [_SPECIAL.get(i, f"[unused{i}]") for i in range(vocab_size)]
    vocabulary[_FIRST_CHARACTER : _FIRST_CHARACTER + len(pieces)] = pieces

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
