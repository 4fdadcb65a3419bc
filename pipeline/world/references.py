"""Sentences that say who is meant: by looks and by place, never by what the person does.

A reference names a few attributes that, together, only one person of the movie has; it may name more than needed, as
people do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from rhas.pipeline.world.looks import Look

ATTRIBUTES = ("shirt", "trousers", "hair", "hat", "height", "gender", "side")
Traits = Mapping[str, str]  # of one person: the attributes that can be named

# How a clause may put it; the first word of a person's description stands before these.
_CLAUSES = {
    "shirt": ("in the {} shirt", "in a {} shirt", "with the {} shirt", "wearing a {} shirt"),
    "trousers": ("in {} trousers", "with {} trousers", "wearing {} trousers"),
    "hair": ("with {} hair", "who has {} hair"),
    "hat": ("with the {} hat", "with a {} hat", "wearing a {} hat", "in the {} hat"),
    "side": ("on the {}", "at the {}"),
}


def traits(look: Look, side: str | None = None) -> dict[str, str]:
    """What can be named of a person; `side` is "left" or "right" for who keeps to it all movie long.

    A person without a hat and one of average height have nothing to name there.
    """
    named = {"shirt": look.shirt, "trousers": look.trousers, "hair": look.hair, "gender": look.gender}
    if look.hat is not None:
        named["hat"] = look.hat
    if look.height != "average":
        named["height"] = look.height
    if side is not None:
        named["side"] = side
    return named


def identifying(own: Traits, others: Sequence[Traits], size: int) -> list[tuple[str, ...]]:
    """All sets of `size` attributes by which the person differs from each of the others."""
    return [
        chosen
        for chosen in combinations([name for name in ATTRIBUTES if name in own], size)
        if all(any(own[name] != other.get(name) for name in chosen) for other in others)
    ]


def refer(rng: np.random.Generator, own: Traits, others: Sequence[Traits], count: int) -> tuple[str, ...]:
    """`count` different sentences that mean this person and none of the others; short ones are likelier.

    Raises ValueError for a person whom no set of attributes tells from the others.
    """
    sets = [chosen for size in range(1, 5) for chosen in identifying(own, others, size)]
    # A sentence needs something visible to stand on: "the woman" and "the person on the left" are too little
    # once people move.
    sets = [chosen for chosen in sets if set(chosen) & {"shirt", "trousers", "hair", "hat"}]
    if not sets:
        raise ValueError(f"nothing tells {own} from {others}")
    weights = np.array([{1: 6.0, 2: 3.0, 3: 1.0, 4: 0.2}[len(chosen)] for chosen in sets])
    # Weights are those of a size as a whole, however many sets it has.
    sizes = np.array([len(chosen) for chosen in sets])
    weights /= np.array([np.count_nonzero(sizes == size) for size in sizes])
    found: dict[str, None] = {}
    while len(found) < count:
        chosen = sets[int(rng.choice(len(sets), p=weights / weights.sum()))]
        found[describe(rng, own, chosen)] = None
    return tuple(found)


def describe(rng: np.random.Generator, own: Traits, chosen: Sequence[str]) -> str:
    """A sentence that names the chosen attributes, such as "the tall person in the red shirt"."""
    noun = own["gender"] if "gender" in chosen or rng.random() < 0.35 else "person"
    size = f"{own['height']} " if "height" in chosen else ""
    clauses = [name for name in chosen if name in _CLAUSES]
    rng.shuffle(clauses)
    clauses.sort(key=lambda name: name == "side" and rng.random() < 0.5)
    words = [_CLAUSES[name][int(rng.integers(len(_CLAUSES[name])))].format(own[name]) for name in clauses]
    words = [clause.replace(" a orange", " an orange") for clause in words]
    joined = " and ".join(words[-2:]) if len(words) > 1 and rng.random() < 0.5 else " ".join(words[-2:])
    return " ".join([f"the {size}{noun}", *words[:-2], joined]).strip()
