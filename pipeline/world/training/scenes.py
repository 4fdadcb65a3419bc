"""Frames to learn from: without end, and each step's the same whenever it is asked for.

Step n of a seed draws its own movies of stream `TRAINING`, so a run that is taken up again sees what it would have
seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rhas.pipeline.world import TRAINING
from rhas.pipeline.world.movie import Character, MadeMovie
from rhas.pipeline.world.references import ATTRIBUTES, Traits, describe, identifying, traits

FRAMES_PER_MOVIE = 4
SEEN = 0.25  # share of a person that must be in the picture, unhidden, to be looked for
_SECONDS = (8, 14)
# How often a reference is asked to stand on one attribute alone: small things need more practice.
_PRACTICE = {"shirt": 1.0, "trousers": 2.0, "hair": 2.5, "hat": 2.0, "height": 1.5, "gender": 1.0}


@dataclass(frozen=True)
class Scene:
    """A frame [H, W, 3] uint8 with P persons: boxes [P, 4], the share of each that can be seen [P], actions [P, A]."""

    image: np.ndarray
    boxes: np.ndarray
    seen: np.ndarray
    actions: np.ndarray
    joints: np.ndarray  # [P, J, 2] shares of the frame
    cast: tuple[Character, ...]

    @property
    def visible(self) -> np.ndarray:
        """[P] bool: who has to be found."""
        return self.seen >= SEEN


def draw_scenes(
    seed: int, step: int, count: int, stream: int = TRAINING
) -> tuple[list[Scene], np.random.Generator]:
    """The scenes of a step, and the generator that goes on from them."""
    rng = np.random.default_rng([seed, step])
    scenes: list[Scene] = []
    while len(scenes) < count:
        movie = MadeMovie.made(stream, seed, int(rng.integers(2**40)), _SECONDS)
        hot = movie.lives.actions
        for frame in rng.choice(movie.frames, FRAMES_PER_MOVIE, replace=False):
            picture = movie.picture(int(frame))
            seen = picture.inside * picture.visible
            if (seen >= SEEN).any():
                image = _worn(rng, picture.image)
                scenes.append(
                    Scene(image, np.nan_to_num(picture.boxes), seen, hot[frame], picture.joints, movie.cast)
                )
    return scenes[:count], rng


def _worn(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """What coding a movie does to a picture, for every other one."""
    if rng.random() < 0.5:
        return image
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 95))])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def draw_reference(rng: np.random.Generator, cast: tuple[Character, ...], person: int) -> str:
    """A sentence for a person: one of the movie's own, or, as often, one of a single attribute if one is enough."""
    own = cast[person].references
    if rng.random() < 0.4:
        return own[int(rng.integers(len(own)))]
    named: list[Traits] = [traits(character.look) for character in cast]
    others = named[:person] + named[person + 1 :]
    practised = [name for name in _PRACTICE if name in named[person]]
    weights = np.array([_PRACTICE[name] for name in practised])
    chosen = practised[int(rng.choice(len(practised), p=weights / weights.sum()))]
    for size in (1, 2, 3):
        sets = [s for s in identifying(named[person], others, size) if chosen in s and set(s) != {"gender"}]
        if sets:
            return describe(rng, named[person], sets[int(rng.integers(len(sets)))])
    return own[int(rng.integers(len(own)))]


assert set(_PRACTICE) <= set(ATTRIBUTES)
