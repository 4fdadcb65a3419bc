"""Captions of who does what, true ones and false ones that nearly are: what image-text matching is learnt from."""

from __future__ import annotations

from collections.abc import Sequence

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


def draw_caption(
    rng: np.random.Generator,
    persons: Sequence[Traits],
    doings: Sequence[Deed],
    person: int,
    true: bool,
    changes: int = 1,
) -> str:
    """A caption about one of the persons in a picture that is true of them, or true of none of them.

    A false one with one change is as near as can be: another posture, something else in the hands, or another
    attribute; `changes` is how many of these are drawn.
    """
    own = persons[person]
    named = [name for name in _VALUES if name in own]
    chosen = [str(name) for name in rng.choice(named, size=int(rng.integers(1, 4)), replace=False)]
    if chosen == ["gender"]:
        chosen.append("shirt")
    if true:
        return caption(describe(rng, own, chosen), doings[person])
    while True:
        said, doing = dict(own), doings[person]
        for _ in range(changes):
            kind = rng.random()
            if kind < 0.3:
                doing = (_another(rng, len(POSTURES), doings[person][0]), doing[1])
            elif kind < 0.6:
                doing = (doing[0], _another(rng, len(HANDS) + 1, doings[person][1] + 1) - 1)
            else:
                name = chosen[int(rng.integers(len(chosen)))]
                values = [value for value in _VALUES[name] if value != own[name]]
                said[name] = values[int(rng.integers(len(values)))]
        stated = {*chosen, "gender"}  # which a noun may give away
        if not any(
            doing == theirs and all(other.get(name) == said[name] for name in stated if name in said)
            for other, theirs in zip(persons, doings, strict=True)
        ):
            return caption(
                describe(rng, said, [name for name in _VALUES if name in {*chosen, "gender"}]), doing
            )


def _another(rng: np.random.Generator, count: int, value: int) -> int:
    """One of `count` values, but not this one."""
    drawn = int(rng.integers(count - 1))
    return drawn + (drawn >= value)


assert len(ACTIONS) == len(POSTURES) + len(HANDS)
