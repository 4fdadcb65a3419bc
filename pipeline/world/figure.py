"""One person as an articulated figure: from posture, hands and gait to joints, and from joints to pixels.

Joints are in body heights: x forward, y up, the origin on the ground below the hips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rhas.pipeline.world.lives.layers import COLOURS, GESTURES, POSTURES, SIZES, THINGS
from rhas.pipeline.world.looks import HAIR, HATS, SHIRTS, SKINS, TROUSERS, Colour, Look

_THIGH, _SHIN, _TORSO, _NECK, _UPPER, _FORE = 0.23, 0.22, 0.27, 0.12, 0.155, 0.15
HEAD = 0.105  # radius
_SHOES: Colour = (45, 35, 30)
JOINTS = (
    "hip",
    "neck",
    "head",
    "knee_a",
    "foot_a",
    "knee_b",
    "foot_b",
    "elbow_a",
    "hand_a",
    "elbow_b",
    "hand_b",
)
_AT = {name: number for number, name in enumerate(JOINTS)}


def joints(posture: int, hands: int, gait: float, time_s: float) -> np.ndarray:
    """[joints, 2]: where the joints are, in the order of JOINTS. `a` is the far side, `b` the near one."""
    hip, lean, legs, arms = _posture(POSTURES[posture], gait, time_s)
    if hands >= 0:
        arms = _hands(GESTURES[hands], time_s)
    points = np.zeros((len(JOINTS), 2))
    points[0] = hip
    points[1] = _along(points[0], 180 - lean, _TORSO)
    points[2] = _along(points[1], 180 - lean * 0.6, _NECK)
    for side, (thigh, shin) in zip("ab", legs, strict=True):
        knee, foot = _AT[f"knee_{side}"], _AT[f"foot_{side}"]
        points[knee] = _along(points[0], thigh, _THIGH)
        points[foot] = _along(points[knee], shin, _SHIN)
    shoulder = points[1] * 0.93 + points[0] * 0.07
    for side, (upper, fore) in zip("ab", arms, strict=True):
        elbow, hand = _AT[f"elbow_{side}"], _AT[f"hand_{side}"]
        points[elbow] = _along(shoulder, upper, _UPPER)
        points[hand] = _along(points[elbow], fore, _FORE)
    if POSTURES[posture] == "lying":  # the standing figure on its back
        points = np.stack([0.5 - points[:, 1], points[:, 0] + 0.09], axis=1)
    return points


def _along(start: np.ndarray, degrees: float, length: float) -> np.ndarray:
    """The end of a limb: 0 degrees hangs down, 90 points forward, 180 up."""
    angle = math.radians(degrees)
    return start + length * np.array([math.sin(angle), -math.cos(angle)])


_Limbs = tuple[tuple[float, float], tuple[float, float]]


def _posture(name: str, gait: float, time_s: float) -> tuple[tuple[float, float], float, _Limbs, _Limbs]:
    """Hip, lean in degrees, and the angles of legs (thigh, shin) and idle arms (upper, fore)."""
    swing = math.sin(2 * math.pi * gait)
    lift = math.cos(2 * math.pi * gait)
    breath = 2 * math.sin(2 * math.pi * 0.3 * time_s)
    legs: _Limbs = ((-5, -3), (6, 4))
    arms: _Limbs = ((-8 + breath, 4), (10 - breath, 16))
    if name == "walking":
        legs = ((27 * swing, 27 * swing - 22 * max(0, lift)), (-27 * swing, -27 * swing - 22 * max(0, -lift)))
        arms = ((-24 * swing, -24 * swing + 14), (24 * swing, 24 * swing + 14))
        return (0, 0.445), 4, legs, arms
    if name == "running":
        legs = (
            (50 * swing + 8, 50 * swing - 60 * max(0, lift)),
            (8 - 50 * swing, -50 * swing - 60 * max(0, -lift)),
        )
        arms = ((-50 * swing, 90 - 50 * swing), (50 * swing, 90 + 50 * swing))
        return (0, 0.45 + 0.02 * abs(lift)), 16, legs, arms
    if name == "sitting":
        return (-0.08, 0.235), 2, ((82, 2), (88, 6)), ((28, 62), (34, 70))
    if name == "crouching":
        return (-0.05, 0.19), 24, ((105, -38), (112, -30)), ((30, 50), (38, 62))
    return (0, 0.45), 0, legs, arms  # standing, and lying


def _hands(name: str, time_s: float) -> _Limbs:
    def beat(hertz: float) -> float:
        return math.sin(2 * math.pi * hertz * time_s)

    rest = (-8.0, 4.0)
    if name == "waving":
        return rest, (140, 168 + 32 * beat(1.6))
    if name == "clapping":
        return (48 + 8 * beat(2), 112 + 14 * beat(2)), (62 - 8 * beat(2), 98 - 14 * beat(2))
    if name == "pointing":
        return rest, (92, 94 + 2 * beat(0.5))
    if name == "drinking":
        return rest, (58 + 8 * beat(0.4), 165 + 10 * beat(0.4))
    if name == "phoning":
        return rest, (38, 186)
    if name == "reading":
        return (30, 108), (42, 104 + 3 * beat(0.2))
    if name == "stretching":
        return (172 + 6 * beat(0.7), 190), (190 - 6 * beat(0.7), 170)
    if name == "carrying":
        return (22, 78), (30, 82)
    if name == "hugging":
        return (82, 98), (96, 88)
    if name == "raising":
        return rest, (160, 172 + 3 * beat(0.5))
    if name == "lifting":
        return (150, 172 + 3 * beat(0.5)), (166, 182 + 3 * beat(0.5))
    if name == "working":
        return (40 + 10 * beat(1.2), 84), (54 - 10 * beat(1.2), 84)
    if name == "answering":
        return (-78 + 8 * beat(0.8), -92), (78 - 8 * beat(0.8), 92)
    return rest, (42, 82 + 12 * beat(1.8))  # shaking hands


@dataclass(frozen=True)
class Pen:
    """Draws on a canvas [H, W, 3] and says on a map [H, W] whose pixels those are."""

    canvas: np.ndarray
    owners: np.ndarray
    owner: int

    def limb(self, start: np.ndarray, end: np.ndarray, colour: Colour, width: int) -> None:
        a, b = _pixel(start), _pixel(end)
        cv2.line(self.canvas, a, b, colour, width)
        cv2.line(self.owners, a, b, self.owner, width)

    def disc(self, centre: np.ndarray, radius: float, colour: Colour) -> None:
        at, size = _pixel(centre), max(1, round(radius))
        cv2.circle(self.canvas, at, size, colour, cv2.FILLED)
        cv2.circle(self.owners, at, size, self.owner, cv2.FILLED)

    def shape(self, corners: list[np.ndarray], colour: Colour) -> None:
        points = np.round(np.array(corners)).astype(np.int32)
        cv2.fillConvexPoly(self.canvas, points, colour)
        cv2.fillConvexPoly(self.owners, points, self.owner)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def draw_person(
    pen: Pen, points_J2: np.ndarray, look: Look, size: float, facing: int, hands: int, thing: int
) -> None:
    """Draws the figure whose joints are at these pixels; `size` is the pixels of one body height.

    Hands hold a thing of THINGS, or, with -1, what their gesture has of its own.
    """
    skin, shirt, trousers = SKINS[look.skin], SHIRTS[look.shirt], TROUSERS[look.trousers]
    width = max(2, round(0.075 * size))
    p = {name: points_J2[number] for name, number in _AT.items()}
    spine = (p["neck"] - p["hip"]) / max(1e-6, float(np.linalg.norm(p["neck"] - p["hip"])))
    across = np.array([-spine[1], spine[0]]) * size
    for side in "ab":
        if side == "b":
            _torso(pen, p, across, shirt)
        pen.limb(p["hip"], p[f"knee_{side}"], trousers, round(width * 1.25))
        pen.limb(p[f"knee_{side}"], p[f"foot_{side}"], trousers, width)
        toe = np.array([facing * 0.05 * size, 0])
        pen.limb(p[f"foot_{side}"], p[f"foot_{side}"] + toe, _SHOES, max(2, round(width * 0.8)))
        if side == "a":
            _arm(pen, p, side, shirt, skin, width)
    _head(pen, p, look, spine, across, size, facing)
    _arm(pen, p, "b", shirt, skin, width)
    if hands >= 0:
        _thing(pen, GESTURES[hands], p, size, facing, thing)


def _torso(pen: Pen, p: dict[str, np.ndarray], across: np.ndarray, shirt: Colour) -> None:
    shoulders, waist = across * 0.095, across * 0.075
    pen.shape([p["neck"] - shoulders, p["neck"] + shoulders, p["hip"] + waist, p["hip"] - waist], shirt)


def _arm(pen: Pen, p: dict[str, np.ndarray], side: str, shirt: Colour, skin: Colour, width: int) -> None:
    shoulder = p["neck"] * 0.93 + p["hip"] * 0.07
    pen.limb(shoulder, p[f"elbow_{side}"], shirt, width)
    pen.limb(p[f"elbow_{side}"], p[f"hand_{side}"], skin, max(2, round(width * 0.8)))


def _head(
    pen: Pen,
    p: dict[str, np.ndarray],
    look: Look,
    spine: np.ndarray,
    across: np.ndarray,
    size: float,
    facing: int,
) -> None:
    head, radius, hair = p["head"], HEAD * size, HAIR[look.hair]
    back = across / size * radius * _sign_of_back(across, facing)
    if look.gender == "woman":
        pen.shape(
            [head + back * 0.2 + spine * radius, head + back * 1.15 + spine * radius * 0.4,
             head + back * 1.25 - spine * radius * 1.9, head + back * 0.3 - spine * radius * 1.9],
            hair,
        )  # fmt: skip
    pen.disc(head + spine * radius * 0.12, radius * 1.08, hair)
    pen.disc(head - back * 0.28 - spine * radius * 0.15, radius * 0.8, SKINS[look.skin])
    if look.hat is not None:
        hat, brim = HATS[look.hat], across / size * radius
        low, high = head + spine * radius * 0.45, head + spine * radius * 1.55
        pen.shape([low - brim * 0.95, low + brim * 0.95, high + brim * 0.7, high - brim * 0.7], hat)
        pen.limb(low - brim * 1.35, low + brim * 1.35, hat, max(2, round(radius * 0.3)))


def _sign_of_back(across: np.ndarray, facing: int) -> float:
    """Which way along `across` the back of the head is; lying persons look up."""
    if abs(across[0]) < abs(across[1]):
        return 1.0 if across[1] > 0 else -1.0
    return -float(np.sign(across[0])) * facing


_BOTH_HANDS = ("reading", "carrying", "lifting", "working")


def _thing(pen: Pen, gesture: str, p: dict[str, np.ndarray], size: float, facing: int, thing: int) -> None:
    hand = p["hand_b"]

    def slab(centre: np.ndarray, half_width: float, half_height: float, colour: Colour) -> None:
        w, h = np.array([half_width * size, 0]), np.array([0, half_height * size])
        pen.shape([centre - w - h, centre + w - h, centre + w + h, centre - w + h], colour)

    if thing >= 0:
        extent, colour = THINGS[thing]
        between = (hand + p["hand_a"]) / 2 if gesture in _BOTH_HANDS else hand
        slab(between, SIZES[extent], SIZES[extent] * 0.9, COLOURS[colour])
    elif gesture == "drinking":
        slab(hand, 0.03, 0.045, (250, 250, 250))
    elif gesture == "phoning":
        slab(hand, 0.022, 0.05, (15, 15, 20))
    elif gesture == "reading":
        slab((hand + p["hand_a"]) / 2 + np.array([facing * 0.02 * size, 0]), 0.085, 0.06, (250, 245, 225))
    elif gesture == "carrying":
        slab((hand + p["hand_a"]) / 2 + np.array([facing * 0.05 * size, 0]), 0.11, 0.09, (170, 120, 70))
