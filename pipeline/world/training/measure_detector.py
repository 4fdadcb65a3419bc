"""What a detector finds in movies of the made world that nothing was fitted to: through extraction's own detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rhas.extract.config import DetectorConfig
from rhas.extract.ground import load_detector
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.movie import MadeMovie
from rhas.pipeline.world.references import ATTRIBUTES, traits
from rhas.pipeline.world.training.scenes import SEEN

FRAMES_PER_MOVIE = 5
RIGHT = 0.5  # IoU of a box that is right


@dataclass(frozen=True)
class Grounding:
    """Shares of visible persons, and of those out of the picture. `questions` has a row for each."""

    right: float  # the best box is theirs
    wrong: float  # it is another person's
    missed: float  # it is nobody's, or there is none
    false_alarms: float  # of sentences about somebody who isn't in the picture: there is a box
    questions: pd.DataFrame  # movie, frame, person, reference, present, score, outcome


def measure_detector(config: DetectorConfig, movies: int, seed: int = 0, device: str = "cpu") -> Grounding:
    """Asks for every person in some frames of `movies` held-out movies, with one of their references.

    Boxes below the config's threshold don't count. Who can be seen too little to be sure either way isn't asked for.
    """
    detector = load_detector(config).to(device)
    rows = [
        row
        for number in range(movies)
        for row in _questions(detector, MadeMovie.made(HELD_OUT, seed, number), number)
    ]
    table = pd.DataFrame(rows)
    present = table[table.present]
    shares = present.outcome.value_counts(normalize=True)
    absent = table[~table.present]
    alarms = float((absent.outcome != "none").mean()) if len(absent) else float("nan")
    right, wrong, missed = (float(shares.get(name, 0.0)) for name in ("right", "wrong", "missed"))
    return Grounding(right, wrong, missed, alarms, table)


def by_attribute(questions: pd.DataFrame) -> pd.DataFrame:
    """Share right, wrong and missed among references that name an attribute: a row for each attribute."""
    present = questions[questions.present]
    rows = {}
    for name in ATTRIBUTES:
        own = present[present.named.apply(lambda named, name=name: name in named)]
        if len(own):
            rows[name] = {"questions": len(own), **own.outcome.value_counts(normalize=True).to_dict()}
    return pd.DataFrame.from_dict(rows, orient="index").fillna(0.0)


def _questions(detector: object, movie: MadeMovie, number: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng([HELD_OUT, number])
    frames = sorted(rng.choice(movie.frames, FRAMES_PER_MOVIE, replace=False).tolist())
    pictures = [movie.picture(frame) for frame in frames]
    references = [who.references[number % len(who.references)] for who in movie.cast]
    images = torch.from_numpy(np.stack([picture.image for picture in pictures]))
    found = detector.detect(images, references)  # type: ignore[attr-defined]
    for person, who in enumerate(movie.cast):
        named = _named(references[person], traits(who.look))
        for place, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
            seen = picture.inside * picture.visible
            if 0.02 <= seen[person] < SEEN:
                continue
            candidates = found[person][place]
            row: dict[str, object] = {
                "movie": number, "frame": frame, "person": who.person_id, "reference": references[person],
                "named": named, "present": bool(seen[person] >= SEEN), "score": np.nan, "outcome": "none",
            }  # fmt: skip
            if len(candidates):
                row["score"] = float(candidates.scores[0])
                row["outcome"] = _whose(candidates.boxes[0].numpy(), picture.boxes, person)
            elif row["present"]:
                row["outcome"] = "missed"
            yield row


def _whose(box: np.ndarray, boxes_P4: np.ndarray, person: int) -> str:
    """Whether a box is that of the person, of another one, or of nobody."""
    overlaps = np.array([_iou(box, other) for other in boxes_P4])
    if overlaps[person] > RIGHT:
        return "right"
    return (
        "wrong"
        if overlaps.max() > RIGHT or (overlaps.argmax() != person and overlaps.max() > 0.1)
        else "missed"
    )


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    if np.isnan(b).any():
        return 0.0
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.clip(high - low, 0, None).prod())
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)


def _named(reference: str, own: dict[str, str]) -> frozenset[str]:
    """Which attributes a reference speaks of, by its words."""
    words = set(reference.split())
    nouns = {name for name in ("shirt", "trousers", "hair", "hat") if name in words}
    return frozenset(nouns | {name for name in ("height", "gender") if own.get(name) in words}
                     | ({"side"} if words & {"left", "right"} else set()))  # fmt: skip
