"""What is around the persons: walls, floors, furniture, things in their colours, things that hide them, the camera.

Everything is drawn once per place on a canvas wider than the frame; a frame is a window of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rhas.pipeline.world.lives.layers import FPS
from rhas.pipeline.world.looks import SHIRTS, Colour

MARGIN = 0.35  # of the frame's width, on both sides of the stage
FLOOR = 0.72  # of the height, where the floor begins
_ARMS = 0.05  # of the width: half of what a person takes


@dataclass(frozen=True)
class Place:
    """A background [H, (1 + 2 MARGIN) W, 3], and what stands before everybody: rectangles of the stage."""

    background: np.ndarray
    hiding: tuple[tuple[float, float, float, Colour], ...]  # x, width (of W), top (of H), colour


@dataclass(frozen=True)
class Ball:
    """A thing that crosses the stage, in a colour that shirts have too."""

    colour: Colour
    start: int  # frame
    speed: float  # widths per second, negative to the left
    height: float  # of H
    radius: float  # of H


@dataclass(frozen=True)
class Shot:
    """A camera between two cuts: where it looks, how near, and how it pans."""

    start: int  # frame
    place: int
    centre: float  # of the stage
    zoom: float
    pan: float  # of the stage per second

    def view(self, frame: int) -> tuple[float, float]:
        """Left edge of what is seen, of the stage's width, and the zoom."""
        centre = self.centre + self.pan * (frame - self.start) / FPS
        half = 0.5 / self.zoom
        # The camera stops before it shows what isn't there.
        return float(np.clip(centre - half, -MARGIN, 1 + MARGIN - 2 * half)), self.zoom


def draw_place(rng: np.random.Generator, height: int, width: int) -> Place:
    """A place for a stage of `height` x `width` pixels."""
    total = round(width * (1 + 2 * MARGIN))
    floor = round(FLOOR * height)
    canvas = np.zeros((height, total, 3), dtype=np.float32)
    wall, ground = rng.uniform(70, 215, 3), rng.uniform(55, 175, 3)
    canvas[:floor] = wall + np.linspace(-18, 18, floor)[:, None, None] * rng.choice([-1, 1])
    canvas[floor:] = ground + np.linspace(-14, 14, height - floor)[:, None, None]
    coarse = rng.normal(0, 9, (height // 12 + 1, total // 12 + 1, 3)).astype(np.float32)
    canvas += cv2.resize(coarse, (total, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:  # tiles or boards
        for x in range(0, total, int(rng.integers(14, 40))):
            canvas[floor:, x : x + 1] -= 22
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(3, 8))):
        _furnish(rng, image, floor)
    hiding = []
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 3))):
            low = rng.random() < 0.6  # a table or a plant; otherwise a pillar
            top = rng.uniform(0.72, 0.82) if low else 0.0
            hiding.append((rng.uniform(-0.1, 1.05), rng.uniform(0.06, 0.2) if low else rng.uniform(0.03, 0.06), top,
                           _colour(rng)))  # fmt: skip
    return Place(image, tuple(hiding))


def draw_ball(rng: np.random.Generator, frames: int) -> Ball:
    colour = list(SHIRTS.values())[int(rng.integers(len(SHIRTS)))]
    speed = rng.uniform(0.1, 0.4) * rng.choice([-1, 1])
    return Ball(
        colour, int(rng.integers(frames)), float(speed), rng.uniform(0.1, 0.9), rng.uniform(0.03, 0.07)
    )


def draw_shots(rng: np.random.Generator, frames: int, places: int) -> tuple[Shot, ...]:
    """Shots of 5 to 15 seconds over the whole movie."""
    shots, start = [], 0
    while start < frames:
        still = rng.random() < 0.5
        zoom = rng.uniform(1.0, 1.2)
        reach = 0.5 - 0.5 / zoom + 0.06
        pan = 0.0 if still else rng.uniform(-0.012, 0.012)
        shots.append(Shot(start, int(rng.integers(places)), 0.5 + rng.uniform(-reach, reach), zoom, pan))
        start += int(rng.uniform(5, 15) * FPS)
    return tuple(shots)


def in_view(x_TP: np.ndarray, shots: tuple[Shot, ...], places: tuple[Place, ...]) -> np.ndarray:
    """[T, P] bool: who is well inside the picture, and not behind a pillar."""
    inside = np.zeros(x_TP.shape, dtype=bool)
    for frame, x in enumerate(x_TP):
        shot = next(shot for shot in reversed(shots) if shot.start <= frame)
        left, zoom = shot.view(frame)
        seen = (x - left) * zoom
        inside[frame] = (seen > 0.1) & (seen < 0.9)
        for start, width, top, _ in places[shot.place].hiding:
            if top < FLOOR:  # what is lower hides nobody's arms
                inside[frame] &= (x < start - _ARMS) | (x > start + width + _ARMS)
    return inside


def behind_others(x_TP: np.ndarray, ground_P: np.ndarray) -> np.ndarray:
    """[T, P] bool: who is at the place of one who stands nearer; `ground_P` is the height of their feet."""
    near = abs(x_TP[:, :, None] - x_TP[:, None]) < 2 * _ARMS
    return np.any(near & (ground_P > ground_P[:, None]), axis=2)


def _furnish(rng: np.random.Generator, image: np.ndarray, floor: int) -> None:
    """A window, a picture, a shelf, a bush, or clothes on a hook: colours of persons, but nobody."""
    total = image.shape[1]
    x, colour = int(rng.integers(total)), _colour(rng)
    kind = rng.integers(4)
    if kind == 0:
        w, h, y = (int(rng.integers(*span)) for span in ((16, 60), (16, 50), (4, max(5, floor - 60))))
        cv2.rectangle(image, (x, y), (x + w, y + h), colour, cv2.FILLED)
        cv2.rectangle(image, (x, y), (x + w, y + h), (60, 50, 45), 2)
    elif kind == 1:
        w, h = int(rng.integers(24, 70)), int(rng.integers(24, 70))
        cv2.rectangle(image, (x, floor - h), (x + w, floor + 4), colour, cv2.FILLED)
        for row in range(floor - h + 8, floor, 14):
            cv2.line(image, (x, row), (x + w, row), (50, 40, 35), 2)
    elif kind == 2:
        for _ in range(6):
            at = (x + int(rng.integers(-14, 15)), floor - int(rng.integers(0, 40)))
            green = (int(rng.integers(20, 80)), int(rng.integers(80, 160)), int(rng.integers(20, 80)))
            cv2.circle(image, at, int(rng.integers(6, 14)), green, cv2.FILLED)
    else:
        shirt = list(SHIRTS.values())[int(rng.integers(len(SHIRTS)))]
        y = int(rng.integers(10, max(11, floor - 50)))
        corners = [[x - 9, y], [x + 9, y], [x + 11, y + 32], [x - 11, y + 32]]
        cv2.fillConvexPoly(image, np.array(corners, dtype=np.int32), shirt)


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(40, 220, 3))
    return red, green, blue
