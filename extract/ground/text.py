"""From referring sentences to the captions that GroundingDINO reads.

Sentences go in; captions come out: a text, its token ids, and where in it each sentence's own tokens stand.

GroundingDINO cuts a caption into phrases at every "." and "?" and lets a phrase's tokens see each other only,
so a sentence must end with the one "." it has. Marks that end a sentence ("." "?" "!" ";" and the like) are
replaced by spaces: "mr. smith" stays one phrase, and so do two short sentences about one person. "!" and ";"
don't split, but would be scored as if they were words of the description. Commas, hyphens and quotes stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rhas.manifests.common.errors import InputError, Problem

DELIMITERS = ("[CLS]", "[SEP]", ".", "?")
# transformers' port looks for these ids, whatever the tokenizer says: those of bert-base-uncased.
DELIMITER_IDS = (101, 102, 1012, 1029)
_SENTENCE_MARKS = str.maketrans(dict.fromkeys(".?!;…。？！；", " "))


@dataclass(frozen=True)
class Caption:
    """What one forward pass is asked: one sentence, or several that are grounded together."""

    text: str
    input_ids: tuple[int, ...]  # [CLS] tokens "." tokens "." [SEP]
    spans: tuple[range, ...]  # per sentence the positions of its own tokens, without delimiters


def normalise(sentence: str) -> str:
    """Lower case, single spaces, no sentence marks but the "." at the end. Raises `InputError` if empty."""
    words = sentence.lower().translate(_SENTENCE_MARKS).split()
    if not any(character.isalnum() for word in words for character in word):
        raise InputError(_problem(sentence, "a description with at least one letter or digit"))
    return " ".join(words) + "."


class Captioner:
    """Turns sentences into captions of at most `max_tokens` tokens, delimiters included."""

    def __init__(self, tokenizer: Any, max_tokens: int):
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._cls, self._sep, self._dot = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "."])

    def check(self, sentences: Sequence[str]) -> None:
        """Raises one `InputError` with all sentences that can't be grounded."""
        problems: list[Problem] = []
        for sentence in sentences:
            try:
                self._tokens(sentence)
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)

    def captions(self, sentences: Sequence[str], joint: bool = False) -> list[Caption]:
        """One caption a sentence or, if `joint`, as few as hold them all, in the order of the sentences."""
        self.check(sentences)
        captions: list[Caption] = []
        group: list[str] = []
        length = 2  # [CLS] and [SEP]
        for sentence in sentences:
            added = len(self._tokens(sentence)) + 1  # and its "."
            if group and (not joint or length + added > self.max_tokens):
                captions.append(self._caption(group))
                group, length = [], 2
            group.append(sentence)
            length += added
        return [*captions, self._caption(group)] if group else captions

    def _caption(self, sentences: Sequence[str]) -> Caption:
        input_ids = [self._cls]
        spans = []
        for sentence in sentences:
            tokens = self._tokens(sentence)
            spans.append(range(len(input_ids), len(input_ids) + len(tokens)))
            input_ids += [*tokens, self._dot]
        return Caption(" ".join(map(normalise, sentences)), (*input_ids, self._sep), tuple(spans))

    def _tokens(self, sentence: str) -> list[int]:
        """The ids of the sentence's own tokens, without its "."."""
        tokens = self.tokenizer(normalise(sentence)[:-1], add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        if set(tokens) <= {self.tokenizer.unk_token_id}:
            raise InputError(_problem(sentence, "words that the text encoder's vocabulary knows"))
        count = len(tokens) + 3
        if count > self.max_tokens:
            limit = f"at most {self.max_tokens} tokens with [CLS], '.' and [SEP], not {count}"
            raise InputError(_problem(sentence, limit))
        return tokens


def _problem(sentence: str, expected: str) -> Problem:
    return Problem("referring sentence", expected, value=sentence)
