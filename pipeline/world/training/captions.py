"""Captions of who does what, true ones and false ones that nearly are: what image-text matching is learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rhas.pipeline.world.lives import ACTIONS, HANDS, POSTURES
from rhas.pipeline.world.looks import HAIR, HATS, HEIGHTS, SHIRTS, TROUSERS
from rhas.pipeline.world.references import Traits, describe

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
class Known:
    """What is true of a person in a picture."""

    looks: Traits
    doing: Deed

    def cut_out(self) -> Known:
        """Of one who is cut out of it: not the height, since all cut-outs are made as large."""
        return replace(self, looks={name: value for name, value in self.looks.items() if name != "height"})

    def denies(self, said: Traits, doing: Deed | None) -> frozenset[str]:
        """What of these looks and of this deed isn't so: names of looks, "posture" and "hands"."""
        wrong = {name for name, value in said.items() if self.looks.get(name) != value}
        if doing is not None:
            layers = zip(("posture", "hands"), doing, self.doing, strict=True)
            wrong |= {layer for layer, says, does in layers if says != does}
        return frozenset(wrong)


@dataclass(frozen=True)
class Claim:
    """A caption, what it says, and what of that is wrong of the person it was drawn for."""

    sentence: str
    said: Traits  # the looks that it names
    doing: Deed | None  # None if it speaks of looks alone
    wrong: frozenset[str]  # of the looks, "posture" and "hands"


def draw_claim(
    rng: np.random.Generator,
    persons: Sequence[Known],
    person: int,
    true: bool,
    changes: int = 1,
    deeds: bool = True,
) -> Claim:
    """A caption about one of the persons in a picture that is true of them, or true of none of them.

    A false one with one change is as near as can be: another posture, something else in the hands, or another
    attribute; `changes` is how many of these are drawn. Without `deeds` it speaks of looks alone. What is named tells
    nothing of whether it is true.
    """
    own, done = persons[person].looks, persons[person].doing
    named = [name for name in _VALUES if name in own]
    while True:  # names anew each time: where only "the man" is named, "the woman" may well be there too
        drawn = {str(name) for name in rng.choice(named, size=int(rng.integers(1, 4)), replace=False)}
        always = "gender" if rng.random() < 0.5 else "shirt"
        chosen = [name for name in _VALUES if name in drawn | {always}]
        said, doing = {name: own[name] for name in (*chosen, "gender")}, done
        for _ in range(0 if true else changes):
            kind = rng.random() if deeds else 1.0
            if kind < 0.3:
                doing = (_another(rng, len(POSTURES), done[0]), doing[1])
            elif kind < 0.6:
                doing = (doing[0], _another(rng, len(HANDS) + 1, done[1] + 1) - 1)
            else:
                name = chosen[int(rng.integers(len(chosen)))]
                values = [value for value in _VALUES[name] if value != own[name]]
                said[name] = values[int(rng.integers(len(values)))]
        says = {name: said[name] for name in chosen}, doing if deeds else None
        if true or all(known.denies(*says) for known in persons):
            break
    reference = describe(rng, said, chosen)
    sentence = caption(reference, doing) if deeds else reference
    return Claim(sentence, *says, persons[person].denies(*says))


def others_claim(
    rng: np.random.Generator, persons: Sequence[Known], person: int, stranger: Known
) -> Claim | None:
    """A caption that is true of somebody in another picture, held against one of these persons.

    None if what was drawn happens to be true of one of them too.
    """
    theirs = draw_claim(rng, [stranger], 0, true=True)
    wrong = [known.denies(theirs.said, theirs.doing) for known in persons]
    return replace(theirs, wrong=wrong[person]) if all(wrong) else None


def _another(rng: np.random.Generator, count: int, value: int) -> int:
    """One of `count` values, but not this one."""
    drawn = int(rng.integers(count - 1))
    return drawn + (drawn >= value)


assert len(ACTIONS) == len(POSTURES) + len(HANDS)
