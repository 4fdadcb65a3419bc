"""What the persons of a movie do and where they go: Markov chains in two layers, meetings, leaving and coming back.

The layers are the posture, of which there is always one, and what the hands do, which may be nothing. Meetings take
both layers of two persons. Chains are simulated frame by frame; times are in seconds, places `x` are
shares of the stage's width, where the camera sees about 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rhas.pipeline.world.lives.layers import FPS, HANDS, IDLE, MEETINGS, POSTURES, Lives, blended, multi_hot

ACTIONS = POSTURES + HANDS

_SPEED = {"walking": 0.13, "running": 0.32}  # widths per second
# The next posture, and how long one lasts. Nobody lies down from walking: transitions can be learnt.
_NEXT_POSTURE = {
    "standing": {"walking": 0.55, "sitting": 0.22, "crouching": 0.15, "running": 0.08},
    "walking": {"standing": 0.60, "sitting": 0.18, "running": 0.14, "crouching": 0.08},
    "running": {"walking": 0.75, "standing": 0.25},
    "sitting": {"standing": 0.55, "lying": 0.30, "walking": 0.15},
    "lying": {"sitting": 0.85, "crouching": 0.15},
    "crouching": {"standing": 0.75, "lying": 0.25},
}
_LASTS = {
    "standing": (3, 8), "walking": (3, 7), "running": (1.5, 3), "sitting": (5, 12), "lying": (4, 9),
    "crouching": (2, 5), IDLE: (1.5, 5), "waving": (2, 4), "clapping": (2, 4), "pointing": (1.5, 3.5),
    "drinking": (3, 5), "phoning": (4, 9), "reading": (5, 10), "stretching": (1.5, 3), "carrying": (4, 8),
    "hugging": (2, 4), "shaking hands": (2, 3.5),
}  # fmt: skip
# What hands start after idling, by posture, and what may follow at once.
_NEXT_HANDS: dict[str, dict[str, float]] = {
    "standing": {"waving": 3, "clapping": 2, "pointing": 3, "drinking": 2, "phoning": 3, "carrying": 2,
                 "stretching": 1},
    "walking": {"phoning": 3, "carrying": 5, "waving": 1.5, "pointing": 0.5},
    "running": {"waving": 0.5, IDLE: 3},
    "sitting": {"reading": 5, "drinking": 3, "clapping": 2, "phoning": 1.5, "stretching": 0.7},
    "lying": {"reading": 2, "phoning": 2, IDLE: 2},
    "crouching": {"pointing": 2, IDLE: 3},
}  # fmt: skip
_FOLLOWS = {"waving": "pointing", "reading": "stretching", "drinking": "phoning"}  # with a chance of a third
_FOLLOW_CHANCE = 1 / 3
_MEETING_EVERY_S, _LEAVING_EVERY_S = 16.0, 45.0


@dataclass
class _Actor:
    """One person between two frames."""

    home: float
    x: float
    facing: int
    posture: str
    posture_left: float
    hands: str = IDLE
    hands_left: float = 2.0
    target: float = 0.5
    errand: str | None = None  # meeting, leaving, away or coming back; the chains rest meanwhile
    errand_left: float = 0.0
    partner: _Actor | None = field(default=None, repr=False)
    gait: float = 0.0  # steps walked, in cycles


def live(rng: np.random.Generator, persons: int, frames: int) -> Lives:
    """Lives of `persons` persons over `frames` frames at 15 frames a second."""
    actors = [_begin(rng, number, persons) for number in range(persons)]
    shape = (frames, persons)
    x, gait = np.zeros(shape), np.zeros(shape)
    facing, posture, hands = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    next_meeting = rng.exponential(_MEETING_EVERY_S)
    for frame in range(frames):
        now = frame / FPS
        if now >= next_meeting:
            _arrange_meeting(rng, actors)
            next_meeting = now + rng.exponential(_MEETING_EVERY_S) + 4
        for person, actor in enumerate(actors):
            _step(rng, actor)
            x[frame, person], facing[frame, person], gait[frame, person] = actor.x, actor.facing, actor.gait
            posture[frame, person] = POSTURES.index(actor.posture)
            hands[frame, person] = HANDS.index(actor.hands) if actor.hands else -1
    actions = multi_hot(posture, np.where(hands >= 0, hands + len(POSTURES), -1), len(ACTIONS))
    nothing = np.full(shape, -1)
    return Lives(x, facing, gait, posture, *blended(posture), hands, *blended(hands), nothing, actions)


def _begin(rng: np.random.Generator, number: int, persons: int) -> _Actor:
    home = (number + 0.5) / persons + rng.uniform(-0.06, 0.06)
    posture = str(rng.choice(["standing", "walking", "sitting"], p=[0.4, 0.35, 0.25]))
    actor = _Actor(home, home, int(rng.choice([-1, 1])), posture, _lasts(rng, posture))
    actor.target = _stroll(rng, actor)
    if rng.random() < 0.15:  # comes in later
        actor.x = -0.3 if home < 0.5 else 1.3
        actor.errand, actor.errand_left, actor.posture = "away", rng.uniform(1, 8), "standing"
    return actor


def _step(rng: np.random.Generator, actor: _Actor) -> None:
    dt = 1 / FPS
    if actor.errand:
        _do_errand(rng, actor, dt)
    else:
        actor.posture_left -= dt
        actor.hands_left -= dt
        if actor.posture_left <= 0:
            _change_posture(rng, actor)
        if actor.hands_left <= 0:
            _change_hands(rng, actor)
        if rng.random() < dt / _LEAVING_EVERY_S:
            _set_out(actor, "leaving", -0.3 if actor.x < 0.5 else 1.3)
    if actor.posture in _SPEED:
        _move(rng, actor, dt)


def _change_posture(rng: np.random.Generator, actor: _Actor) -> None:
    options = _NEXT_POSTURE[actor.posture]
    actor.posture = str(rng.choice(list(options), p=list(options.values())))
    actor.posture_left = _lasts(rng, actor.posture)
    actor.target = _stroll(rng, actor)
    if actor.hands and actor.hands not in _NEXT_HANDS[actor.posture]:
        actor.hands, actor.hands_left = IDLE, _lasts(rng, IDLE)


def _change_hands(rng: np.random.Generator, actor: _Actor) -> None:
    options = _NEXT_HANDS[actor.posture]
    after = _FOLLOWS.get(actor.hands)
    if after is not None and after in options and rng.random() < _FOLLOW_CHANCE:
        actor.hands = after
    elif actor.hands:
        actor.hands = IDLE
    else:
        chances = np.array(list(options.values()), dtype=float)
        actor.hands = str(rng.choice(list(options), p=chances / chances.sum()))
    actor.hands_left = _lasts(rng, actor.hands)


def _set_out(actor: _Actor, errand: str, target: float) -> None:
    actor.errand, actor.target, actor.posture = errand, target, "walking"
    if actor.hands != "carrying":
        actor.hands = IDLE


def _arrange_meeting(rng: np.random.Generator, actors: list[_Actor]) -> None:
    free = [a for a in actors if not a.errand and 0.1 < a.x < 0.9 and a.posture in ("standing", "walking")]
    if len(free) < 2:
        return
    first, second = sorted((free[i] for i in rng.choice(len(free), 2, replace=False)), key=lambda a: a.x)
    middle = (first.x + second.x) / 2
    deed = str(rng.choice(MEETINGS))
    gap = 0.045 if deed == "hugging" else 0.085
    lasts = _lasts(rng, deed)
    for actor, other, place in ((first, second, middle - gap), (second, first, middle + gap)):
        _set_out(actor, deed, place)
        actor.hands, actor.partner, actor.errand_left = IDLE, other, lasts


def _do_errand(rng: np.random.Generator, actor: _Actor, dt: float) -> None:
    arrived = abs(actor.x - actor.target) < 0.01
    if actor.errand == "away":
        actor.errand_left -= dt
        if actor.errand_left <= 0:
            _set_out(actor, "coming back", float(np.clip(actor.home, 0.12, 0.88)))
    elif actor.errand == "leaving" and arrived:
        actor.errand, actor.errand_left = "away", rng.uniform(2, 8)
        actor.posture, actor.hands = "standing", IDLE
    elif actor.errand == "coming back" and arrived:
        _resume(rng, actor)
    elif actor.partner is not None and arrived:
        actor.posture = "standing"
        partner = actor.partner
        if abs(partner.x - partner.target) < 0.01:  # both are there
            actor.facing = 1 if partner.x > actor.x else -1
            actor.hands = actor.errand or IDLE
            actor.errand_left -= dt
            if actor.errand_left <= 0:
                _resume(rng, actor)


def _resume(rng: np.random.Generator, actor: _Actor) -> None:
    actor.errand, actor.partner = None, None
    actor.posture, actor.posture_left = "standing", rng.uniform(1, 3)
    actor.hands, actor.hands_left = IDLE, _lasts(rng, IDLE)


def _move(rng: np.random.Generator, actor: _Actor, dt: float) -> None:
    step = _SPEED[actor.posture] * dt
    way = actor.target - actor.x
    if abs(way) <= step:
        actor.x = actor.target
        if not actor.errand:
            actor.target = _stroll(rng, actor)
        return
    actor.facing = 1 if way > 0 else -1
    actor.x += actor.facing * step
    actor.gait += dt * (1.1 if actor.posture == "walking" else 1.9)


def _stroll(rng: np.random.Generator, actor: _Actor) -> float:
    """Where to walk next: around home, and not too near."""
    for _ in range(8):
        target = float(np.clip(rng.normal(actor.home, 0.2), 0.08, 0.92))
        if abs(target - actor.x) > 0.12:
            break
    return target


def _lasts(rng: np.random.Generator, action: str) -> float:
    return float(rng.uniform(*_LASTS[action]))
