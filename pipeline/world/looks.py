"""How persons look: what a sentence can tell them apart by."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

Colour = tuple[int, int, int]  # RGB

SHIRTS: dict[str, Colour] = {
    "red": (205, 40, 45),
    "blue": (40, 75, 205),
    "green": (40, 150, 65),
    "yellow": (235, 205, 50),
    "purple": (130, 50, 165),
    "orange": (240, 130, 30),
    "white": (240, 240, 240),
    "black": (30, 30, 35),
}
TROUSERS: dict[str, Colour] = {
    "black": (35, 35, 40),
    "blue": (55, 80, 150),
    "brown": (115, 75, 45),
    "grey": (135, 135, 140),
    "green": (70, 110, 60),
    "white": (225, 225, 220),
}
HAIR: dict[str, Colour] = {
    "black": (25, 20, 20),
    "brown": (100, 60, 35),
    "blond": (230, 195, 100),
    "red": (185, 75, 35),
}
HATS: dict[str, Colour] = {
    "red": (215, 35, 40),
    "blue": (45, 85, 220),
    "green": (45, 160, 70),
    "yellow": (240, 215, 60),
    "white": (245, 245, 245),
}
HEIGHTS = {"short": 0.80, "average": 1.0, "tall": 1.19}  # factors of an average person
SKINS: tuple[Colour, ...] = ((240, 205, 180), (225, 180, 150), (180, 130, 95), (125, 85, 60))


@dataclass(frozen=True)
class Look:
    """A person's looks; the fields but `skin` are what sentences speak of."""

    gender: str  # woman (long hair) or man (short hair)
    shirt: str
    trousers: str
    hair: str
    hat: str | None
    height: str
    skin: int = 0  # of SKINS

    def differences(self, other: Look) -> int:
        """In how many of the things that sentences speak of the two differ."""
        named = [field.name for field in fields(self) if field.name != "skin"]
        return sum(getattr(self, name) != getattr(other, name) for name in named)


def draw_looks(rng: np.random.Generator, count: int, same_shirt: float = 0.2) -> tuple[Look, ...]:
    """Looks of the persons of one movie: any two differ in three things or more, and mostly in the shirt.

    `same_shirt` is the chance that a person may wear the shirt that another one wears already.
    """
    looks: list[Look] = []
    while len(looks) < count:
        look = _draw_look(rng)
        may_share = rng.random() < same_shirt
        if all(look.differences(other) >= 3 and (may_share or look.shirt != other.shirt) for other in looks):
            looks.append(look)
    return tuple(looks)


def _draw_look(rng: np.random.Generator) -> Look:
    return Look(
        gender=_pick(rng, ("woman", "man")),
        shirt=_pick(rng, tuple(SHIRTS)),
        trousers=_pick(rng, tuple(TROUSERS)),
        hair=_pick(rng, tuple(HAIR)),
        hat=_pick(rng, tuple(HATS)) if rng.random() < 0.45 else None,
        height=str(rng.choice(tuple(HEIGHTS), p=(0.3, 0.4, 0.3))),
        skin=int(rng.integers(len(SKINS))),
    )


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
