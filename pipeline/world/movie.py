"""A movie of the made world: who is in it, what happens, and what each of its frames shows.

`MadeMovie.made(stream, seed, number)` follows from these three numbers, its length and its kind alone; `picture(frame)`
draws any frame of it and says where everybody is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rhas.pipeline.world.figure import JOINTS, Pen, draw_person, joints
from rhas.pipeline.world.lives.kinds import KINDS
from rhas.pipeline.world.lives.layers import FPS, Lives
from rhas.pipeline.world.lives.ordinary import live
from rhas.pipeline.world.looks import HEIGHTS, Look, draw_looks
from rhas.pipeline.world.places import (
    FLOOR,
    MARGIN,
    Ball,
    Place,
    Shot,
    behind_others,
    draw_ball,
    draw_place,
    draw_shots,
    in_view,
)
from rhas.pipeline.world.references import refer, traits

HEIGHT, WIDTH = 96, 160  # pixels, at scale 1
_FINER = 2  # frames are drawn at twice their size and averaged down
_BODY = 0.56  # of the height: a person of average height at zoom 1
_NOBODY = 255


@dataclass(frozen=True)
class Character:
    """A person of a movie."""

    person_id: str
    look: Look
    references: tuple[str, ...]  # paraphrases, each meaning this person of the movie and nobody else
    ground: float  # of the height: where the feet stand; the greater, the nearer
    size: float  # body height as a share of the frame's


@dataclass(frozen=True)
class Picture:
    """A frame: RGB [H, W, 3] uint8, and where its P persons are.

    `boxes` [P, 4] x1 y1 x2 y2 as shares of the frame, hidden parts included, cut at the frame's edges; NaN for
    who is outside. `inside` [P] is the share of the whole box that is in the frame, `visible` [P] the share of the
    person's pixels in the frame that nothing hides. `joints` [P, J, 2] are x and y of `figure.JOINTS` as shares of the
    frame, also beyond its edges.
    """

    image: np.ndarray
    boxes: np.ndarray
    inside: np.ndarray
    visible: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class MadeMovie:
    """Everything that happens in a movie of T frames."""

    frames: int
    cast: tuple[Character, ...]
    lives: Lives
    places: tuple[Place, ...]
    shots: tuple[Shot, ...]
    balls: tuple[Ball, ...]
    light: np.ndarray  # [256, 1, 3] uint8: what each value of each channel becomes

    @classmethod
    def made(
        cls,
        stream: int,
        seed: int,
        number: int,
        seconds: tuple[float, float] = (30, 60),
        kind: str = "ordinary",
    ) -> MadeMovie:
        """Movie `number` of a seed; its length is drawn from `seconds`.

        Another kind has the same persons in the same places, whose hands do other things.
        """
        rng = np.random.default_rng([stream, seed, number])
        frames = round(rng.uniform(*seconds) * FPS)
        persons = int(rng.choice([2, 3, 4], p=[0.4, 0.4, 0.2]))
        looks = draw_looks(rng, persons)
        lives = live(rng, persons, frames)
        cast = _cast(rng, looks, lives)
        size = HEIGHT * _FINER, WIDTH * _FINER
        places = tuple(draw_place(rng, *size) for _ in range(int(rng.integers(1, 4))))
        shots = draw_shots(rng, frames, len(places))
        balls = tuple(draw_ball(rng, frames) for _ in range(int(rng.integers(0, 4))))
        gain, shift = rng.uniform(0.85, 1.1) * rng.uniform(0.95, 1.05, 3), rng.uniform(-10, 10)
        light = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)[:, None]
        change = KINDS[kind].change
        if change is not None:
            inside = in_view(lives.x, shots, places)
            clear = inside & ~behind_others(lives.x, np.array([who.ground for who in cast]))
            # Draws of its own: whatever they are, the rest of the movie stays the same.
            lives = change(np.random.default_rng([stream, seed, number, 1]), lives, inside, clear)
        return cls(frames, cast, lives, places, shots, balls, light)

    def picture(self, frame: int, scale: int = 1) -> Picture:
        """Draws one frame, 0 <= frame < frames, `scale` times as wide and high as the smallest."""
        shot = next(shot for shot in reversed(self.shots) if shot.start <= frame)
        left, zoom = shot.view(frame)
        stage = _Stage(self.places[shot.place], left, zoom, scale)
        for ball in self.balls:
            stage.ball(ball, frame)
        count = len(self.cast)
        boxes, inside, shown = np.full((count, 4), np.nan), np.zeros(count), np.zeros(count)
        places = np.zeros((count, len(JOINTS), 2))
        for person in sorted(range(count), key=lambda number: self.cast[number].ground):
            pixels, size = self._pose(stage, person, frame)
            places[person] = pixels / (stage.width, stage.height)
            boxes[person], inside[person], shown[person] = self._draw(stage, person, frame, pixels, size)
        stage.hide()
        left_over = np.array([np.count_nonzero(stage.owners == person) for person in range(count)])
        visible = np.where(shown > 0, left_over / np.maximum(shown, 1), 0.0)
        image = cv2.resize(stage.canvas, (WIDTH * scale, HEIGHT * scale), interpolation=cv2.INTER_AREA)
        return Picture(cv2.LUT(image, self.light), boxes, inside, visible, places)

    def _pose(self, stage: _Stage, person: int, frame: int) -> tuple[np.ndarray, float]:
        """Joints of a person [J, 2] in pixels of the stage, and the pixels of a body height."""
        who, lives, at, time_s = self.cast[person], self.lives, (frame, person), frame / FPS
        blend, hands_blend = lives.posture_blend[at], lives.hands_blend[at]
        points = joints(lives.posture[at], lives.hands[at], lives.gait[at], time_s)
        if blend < 1 or hands_blend < 1:
            before = joints(
                int(lives.posture_before[at] if blend < 1 else lives.posture[at]),
                int(lives.hands_before[at] if hands_blend < 1 else lives.hands[at]), lives.gait[at], time_s,
            )  # fmt: skip
            done = min(blend, hands_blend)
            points = before + (points - before) * (3 * done**2 - 2 * done**3)
        return stage.pixels(points, lives.x[at], who, int(lives.facing[at]))

    def _draw(
        self, stage: _Stage, person: int, frame: int, pixels: np.ndarray, size: float
    ) -> tuple[np.ndarray, float, int]:
        """Draws a person; their box in the frame, the share of it inside, and their pixels."""
        at = frame, person
        facing, hands, thing = (
            int(layer[at]) for layer in (self.lives.facing, self.lives.hands, self.lives.thing)
        )
        pen = Pen(stage.canvas, stage.owners, person)
        return stage.measured(pen, pixels, self.cast[person].look, size, facing, hands, thing)


class _Stage:
    """The canvas of one frame, [H', W', 3] at `_FINER` times the frame's size, and whose each pixel is."""

    def __init__(self, place: Place, left: float, zoom: float, scale: int) -> None:
        self.place, self.left, self.zoom = place, left, zoom
        height, width = HEIGHT * _FINER, WIDTH * _FINER  # of what of the background is seen at zoom 1
        self.height, self.width = height * scale, width * scale
        # The camera keeps its feet on the ground: nearer means larger from the floor up.
        self._top = FLOOR * (1 - 1 / zoom)
        larger, x, y = zoom * scale, (left + MARGIN) * width, self._top * height
        view = np.array([[larger, 0, -x * larger], [0, larger, -y * larger]])
        self.canvas = cv2.warpAffine(
            place.background, view, (self.width, self.height), borderMode=cv2.BORDER_REPLICATE
        )
        self.owners = np.full((self.height, self.width), _NOBODY, dtype=np.uint8)

    def point(self, x: float, y: float) -> np.ndarray:
        """A point of the stage in pixels of the canvas."""
        return np.array([(x - self.left) * self.zoom * self.width, (y - self._top) * self.zoom * self.height])

    def pixels(
        self, points_J2: np.ndarray, x: float, who: Character, facing: int
    ) -> tuple[np.ndarray, float]:
        """Joints in pixels, and the pixels of a body height."""
        size = who.size * self.height * self.zoom
        return self.point(x, who.ground) + points_J2 * np.array([facing * size, -size]), size

    def measured(
        self, pen: Pen, pixels: np.ndarray, look: Look, size: float, facing: int, hands: int, thing: int
    ) -> tuple[np.ndarray, float, int]:
        reach = 0.2 * size  # of head, hat and things beyond the joints
        low, high = pixels.min(axis=0) - reach, pixels.max(axis=0) + reach
        outside = np.full(4, np.nan), 0.0, 0
        if high[0] <= 0 or low[0] >= self.width:
            return outside
        # Drawn on a map of its own first, wide enough for what is outside of the frame.
        x0, y0 = int(np.floor(low[0])), int(np.floor(low[1]))
        own = np.zeros((int(high[1]) - y0 + 2, int(high[0]) - x0 + 2), dtype=np.uint8)
        draw_person(Pen(own, own, 1), pixels - (x0, y0), look, size, facing, hands, thing)
        draw_person(pen, pixels, look, size, facing, hands, thing)
        columns, rows = np.flatnonzero(own.any(axis=0)), np.flatnonzero(own.any(axis=1))
        whole = np.array(
            [columns[0] + x0, rows[0] + y0, columns[-1] + x0 + 1, rows[-1] + y0 + 1], dtype=float
        )
        cut = np.clip(whole, 0, [self.width, self.height, self.width, self.height])
        area, kept = _area(whole), _area(cut)
        if kept == 0:
            return outside
        pixels_in_frame = int(np.count_nonzero(self.owners == pen.owner))
        return cut / (self.width, self.height, self.width, self.height), kept / area, pixels_in_frame

    def ball(self, ball: Ball, frame: int) -> None:
        gone = (frame - ball.start) / FPS * abs(ball.speed)
        if not 0 <= gone <= 1.4:
            return
        x = -0.2 + gone if ball.speed > 0 else 1.2 - gone
        at = self.point(x, ball.height)
        radius = round(ball.radius * self.height * self.zoom)
        cv2.circle(self.canvas, (round(float(at[0])), round(float(at[1]))), radius, ball.colour, cv2.FILLED)

    def hide(self) -> None:
        """Draws what stands before everybody."""
        for x, width, top, colour in self.place.hiding:
            start, end = self.point(x, top), self.point(x + width, 1.2)
            corners = [tuple(int(v) for v in corner) for corner in (start, end)]
            cv2.rectangle(self.canvas, corners[0], corners[1], colour, cv2.FILLED)
            cv2.rectangle(self.owners, corners[0], corners[1], _NOBODY, cv2.FILLED)


def _area(box: np.ndarray) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))


def _cast(rng: np.random.Generator, looks: tuple[Look, ...], lives: Lives) -> tuple[Character, ...]:
    named = [traits(look, side) for look, side in zip(looks, _sides(lives.x), strict=True)]
    cast = []
    for number, look in enumerate(looks):
        others = named[:number] + named[number + 1 :]
        depth = rng.uniform(0, 1)
        size = _BODY * HEIGHTS[look.height] * (0.96 + 0.08 * depth)
        references = refer(rng, named[number], others, 4)
        cast.append(Character(f"p{number + 1}", look, references, 0.86 + 0.1 * depth, size))
    return tuple(cast)


def _sides(x_TP: np.ndarray) -> list[str | None]:
    """Who keeps to a side: left or right of everybody else in nine frames of ten."""
    sides: list[str | None] = []
    for person in range(x_TP.shape[1]):
        others = np.delete(x_TP, person, axis=1)
        left = np.mean(x_TP[:, person] < others.min(axis=1))
        right = np.mean(x_TP[:, person] > others.max(axis=1))
        sides.append("left" if left >= 0.9 else "right" if right >= 0.9 else None)
    return sides
