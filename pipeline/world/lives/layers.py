"""What a life is made of: postures, what hands do, and things in them, frame by frame; and the actions these are.

What is drawn follows from the layers alone, never from the actions: where two actions have the same layers, their
pictures are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from rhas.pipeline.world.looks import SHIRTS, Colour

FPS = 15
POSTURES = ("standing", "walking", "running", "sitting", "lying", "crouching")
HANDS = (
    "waving", "clapping", "pointing", "drinking", "phoning", "reading", "stretching", "carrying",
    "hugging", "shaking hands",
)  # fmt: skip
GESTURES = (
    *HANDS,
    "raising",
    "lifting",
    "working",
    "answering",
)  # all that can be drawn; ordinary lives have HANDS
MEETINGS = ("hugging", "shaking hands")  # two do it together
IDLE = ""  # hands that do nothing: not an action

COLOURS: dict[str, Colour] = SHIRTS | {"pink": (250, 135, 180)}
# Half a thing's width, in body heights. A linear readout of preset mini's features of a cut-out person tells three
# colours of a thing of 0.11 apart in 74 to 93 of 100 frames, and of one of 0.16 in 95 to 100.
SIZES = {"small": 0.06, "large": 0.16}
THINGS = tuple(
    product(SIZES, COLOURS)
)  # what hands can hold, beside the cup, book … that a gesture has of its own


@dataclass(frozen=True)
class Lives:
    """What P persons do in T frames. Layers are indices, -1 for none: postures into POSTURES, hands into GESTURES,
    things into THINGS.

    `posture_blend` and `hands_blend` go from 0, still as before, to 1 within a third of a second of a change.
    """

    x: np.ndarray  # [T, P]
    facing: np.ndarray  # [T, P] -1 left, 1 right
    gait: np.ndarray  # [T, P] cycles
    posture: np.ndarray  # [T, P]
    posture_before: np.ndarray
    posture_blend: np.ndarray
    hands: np.ndarray  # [T, P]
    hands_before: np.ndarray
    hands_blend: np.ndarray
    thing: np.ndarray  # [T, P]
    actions: np.ndarray  # [T, P, actions] bool, in the order of the kind's actions


_BLEND_S = 0.35


def blended(layer_TP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a layer was before its last change, and how far the change has come, 0 to 1."""
    before, blend = layer_TP.copy(), np.ones(layer_TP.shape)
    for frame in range(1, len(layer_TP)):
        changed = layer_TP[frame] != layer_TP[frame - 1]
        before[frame] = np.where(changed, layer_TP[frame - 1], before[frame - 1])
        blend[frame] = np.where(changed, 0.0, np.minimum(1.0, blend[frame - 1] + 1 / (FPS * _BLEND_S)))
    return before, blend


def multi_hot(posture_TP: np.ndarray, deed_TP: np.ndarray, actions: int) -> np.ndarray:
    """[T, P, actions] bool from two indices of actions; the deed may be -1, none."""
    hot = np.zeros((*posture_TP.shape, actions), dtype=bool)
    np.put_along_axis(hot, posture_TP[..., None], True, axis=-1)
    frames, persons = np.nonzero(deed_TP >= 0)
    hot[frames, persons, deed_TP[frames, persons]] = True
    return hot


def with_hands(
    lives: Lives, hands_TP: np.ndarray, thing_TP: np.ndarray, deed_TP: np.ndarray, actions: int
) -> Lives:
    """The same lives with other things to do for the hands; deeds are indices of the kind's actions, -1 for none."""
    before, blend = blended(hands_TP)
    hot = multi_hot(lives.posture, deed_TP, actions)
    return replace(lives, hands=hands_TP, hands_before=before, hands_blend=blend, thing=thing_TP, actions=hot)


def spells(layer_T: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Start, end and value of each stretch in which a layer stays the same and isn't -1."""
    cuts = np.flatnonzero(np.diff(layer_T)) + 1
    for start, end in zip((0, *cuts), (*cuts, len(layer_T)), strict=True):
        if layer_T[start] >= 0:
            yield int(start), int(end), int(layer_T[start])
