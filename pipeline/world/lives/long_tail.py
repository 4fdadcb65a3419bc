"""Lives with 137 actions, most of them rare: what the long tail of RHAS133 asks of a model.

In: ordinary lives. Out: the same, but where hands do something (meetings aside) they do one of 129 deeds, a new one
about every two seconds: waving, clapping, stretching, or one of seven gestures with a small or large thing in one of
nine colours. Deed k of 129 is drawn with a chance proportional to (k + 50)^-5, whatever the posture; postures, hugging
and shaking hands stay as frequent as they are. No two actions look alike.

The law: RHAS133's counts per class are published as a picture only. What is known in numbers is RefAVA, by the same
authors and with the 80 classes of AVA that RHAS133's 137 extend: of 58,953 training labels 12,130 (21 %) are of the
most frequent class, 28 classes (35 %) have fewer than 10 and 7 none. Here 27 % of all labels are of the most frequent
one, and of as many labels 34 % of the classes have fewer than 10. Of 80 movies of 30 to 60 seconds (seed 1; 148,125
frames of persons, 1.43 labels each; a training part of 60 % has that share):

    frames of the class at quantile   0 %    10 %   25 %   50 %   75 %    90 %    95 %     100 %
    expected by the law                 8      12     23     89    551   2,356   3,876    57,286
    counted                             0       0     27     91    624   2,333   3,537    57,286

So each class is expected to have a frame or more, but deeds last for some thirty: 27 of 137 never happened.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rhas.pipeline.world.lives.layers import (
    COLOURS,
    FPS,
    GESTURES,
    MEETINGS,
    POSTURES,
    SIZES,
    THINGS,
    Lives,
    spells,
    with_hands,
)

_HOW = {
    "raising": "raising a {} {} thing", "lifting": "lifting a {} {} thing", "carrying": "carrying a {} {} box",
    "drinking": "drinking from a {} {} cup", "reading": "reading a {} {} book",
    "pointing": "pointing with a {} {} sign", "phoning": "listening to a {} {} radio",
}  # fmt: skip
_BARE = ("waving", "clapping", "stretching")
_LASTS = 2 * FPS  # frames, about
_STRIDE = 47  # prime to 126: neighbours in rank differ in gesture, size and colour


def _deeds() -> list[tuple[str, int, int]]:
    """Name, gesture and thing of each deed, the most frequent first; one in 43 is done with bare hands."""
    held = [
        (_HOW[gesture].format(size, colour), GESTURES.index(gesture), THINGS.index((size, colour)))
        for gesture in _HOW
        for size in SIZES
        for colour in COLOURS
    ]
    ranked = [held[_STRIDE * rank % len(held)] for rank in range(len(held))]
    for rank, gesture in enumerate(_BARE):
        ranked.insert(4 + 43 * rank, (gesture, GESTURES.index(gesture), -1))
    return ranked


_DEEDS = _deeds()
_FIRST = len(POSTURES) + len(MEETINGS)
ACTIONS = (*POSTURES, *MEETINGS, *(name for name, _, _ in _DEEDS))
LAW = (np.arange(1, len(_DEEDS) + 1) + 50.0) ** -5
LAW /= LAW.sum()  # [deeds]: how often each is begun, in the order of ACTIONS after postures and meetings


def vary(rng: np.random.Generator, lives: Lives, inside_TP: np.ndarray, clear_TP: np.ndarray) -> Lives:
    """The same lives in which hands, when they do something, do any of the deeds."""
    hands, thing, deed = lives.hands.copy(), np.full(lives.hands.shape, -1), np.full(lives.hands.shape, -1)
    for person in range(hands.shape[1]):
        for start, end, gesture in spells(lives.hands[:, person]):
            span = slice(start, end), person
            if GESTURES[gesture] in MEETINGS:
                deed[span] = len(POSTURES) + MEETINGS.index(GESTURES[gesture])
                continue
            cuts = np.linspace(start, end, max(1, round((end - start) / _LASTS)) + 1).round().astype(int)
            for part in pairwise(cuts):
                span, drawn = (slice(*part), person), int(rng.choice(len(_DEEDS), p=LAW))
                _, hands[span], thing[span] = _DEEDS[drawn]
                deed[span] = _FIRST + drawn
    return with_hands(lives, hands, thing, deed, len(ACTIONS))
