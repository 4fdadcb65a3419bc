"""Captions of who does what, true ones and false ones that nearly are: what image-text matching is learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.world.lives import ACTIONS, HANDS, POSTURES
from pipeline.world.looks import HAIR, HATS, HEIGHTS, SHIRTS, TROUSERS
from pipeline.world.references import Traits, describe

_VALUES = {
    "shirt": tuple(SHIRTS), "trousers": tuple(TROUSERS), "hair": tuple(HAIR), "hat": tuple(HATS),
    "height": tuple(name for name in HEIGHTS if name != "average"), "gender": ("woman", "man"),
}  # fmt: skip
Deed = tuple[int, int]  # posture, and what hands do: indices into POSTURES and HANDS, -1 for nothing


def deed(actions_A: np.ndarray) -> Deed:
    """What one frame's labels [actions] say."""
    hands = np.flatnonzero(actions_A[len(POSTURES) :])
    return int(actions_A[: len(POSTURES)].argmax()), int(hands[0]) if len(hands) else -1


def caption(reference: str, doing: Deed) -> str:
    """Such as "the man in the red shirt is sitting and reading"."""
    posture, hands = doing
    return f"{reference} is {POSTURES[posture]}" + (f" and {HANDS[hands]}" if hands >= 0 else "")


@dataclass(frozen=True)
class Claim:
    """A caption, what it says, and what of that is wrong of the person it was drawn for."""

    sentence: str
    said: Traits  # the looks that it names
    doing: Deed
    wrong: frozenset[str]  # of the looks, "posture" and "hands"


def draw_claim(
    rng: np.random.Generator,
    persons: Sequence[Traits],
    doings: Sequence[Deed],
    person: int,
    true: bool,
    changes: int = 1,
) -> Claim:
    """A caption about one of the persons in a picture that is true of them, or true of none of them.

    A false one with one change is as near as can be: another posture, something else in the hands, or another
    attribute; `changes` is how many of these are drawn. What is named tells nothing of whether it is true.
    """
    own, done = persons[person], doings[person]
    named = [name for name in _VALUES if name in own]
    drawn = {str(name) for name in rng.choice(named, size=int(rng.integers(1, 4)), replace=False)}
    chosen = [name for name in _VALUES if name in drawn | ({"gender"} if rng.random() < 0.5 else {"shirt"})]
    while True:
        said, doing = {name: own[name] for name in (*chosen, "gender")}, done
        for _ in range(0 if true else changes):
            kind = rng.random()
            if kind < 0.3:
                doing = (_another(rng, len(POSTURES), done[0]), doing[1])
            elif kind < 0.6:
                doing = (doing[0], _another(rng, len(HANDS) + 1, done[1] + 1) - 1)
            else:
                name = chosen[int(rng.integers(len(chosen)))]
                values = [value for value in _VALUES[name] if value != own[name]]
                said[name] = values[int(rng.integers(len(values)))]
        if true or not any(
            doing == theirs and all(other.get(name) == value for name, value in said.items())
            for other, theirs in zip(persons, doings, strict=True)
        ):
            break
    wrong = {name for name in chosen if said[name] != own[name]}
    wrong |= {
        layer for layer, says, does in zip(("posture", "hands"), doing, done, strict=True) if says != does
    }
    sentence = caption(describe(rng, said, chosen), doing)
    return Claim(sentence, {name: said[name] for name in chosen}, doing, frozenset(wrong))


def _another(rng: np.random.Generator, count: int, value: int) -> int:
    """One of `count` values, but not this one."""
    drawn = int(rng.integers(count - 1))
    return drawn + (drawn >= value)


assert len(ACTIONS) == len(POSTURES) + len(HANDS)
