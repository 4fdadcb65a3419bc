"""What an encoder sees in movies of the made world that nothing was fitted to: through extraction's own encoder.

Matching is asked as BLIP-2 asks it, by its own head. What the features hold of actions is read by a linear probe,
fitted on movies of the training stream: nothing but the shipped model is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rhas.extract.config import EncoderConfig
from rhas.extract.crops import person_crops, whole_frames
from rhas.extract.encode import load_encoder
from rhas.extract.encode.blip2 import Blip2Encoder
from rhas.pipeline.world import HELD_OUT, TRAINING
from rhas.pipeline.world.movie import MadeMovie, Picture
from rhas.pipeline.world.references import traits
from rhas.pipeline.world.training.captions import Claim, Known, deed, draw_claim, others_claim
from rhas.pipeline.world.training.scenes import SEEN
from rhas.pipeline.world.training.tower import MARGIN, jittered

FRAMES_PER_MOVIE = 5
_RIDGE = 1.0
_CLEAR = 0.6  # share of a person that must be seen for a caption about all of them


@dataclass(frozen=True)
class Looked:
    """One visible person in one frame: both features [D], and what they do."""

    holistic: np.ndarray
    partial: np.ndarray
    posture: int
    hands: int  # -1 for nothing


def measure_encoder(weights: Path, movies: int, seed: int = 0) -> dict[str, float]:
    """Shares of right answers in `movies` held-out movies; for chance, matching has 50 %.

    Matching: whether a caption of looks and action goes with a picture. Of persons cut out by the true box and of whole
    frames it is asked twice: true ones against those of somebody in the movie before, as often; and against those in
    which a single thing is false (`captions.draw_claim`), as often. False ones are true of nobody in the picture.
    """
    encoder = load_encoder(EncoderConfig(kind="blip2", weights=str(weights)))
    assert isinstance(encoder, Blip2Encoder)
    figures = _matching(encoder, movies, seed)
    for off in (False, True):
        held_out = list(_looked(encoder, HELD_OUT, movies, seed, off))
        fitted = list(_looked(encoder, TRAINING, movies, seed, off))
        for name in ("partial",) if off else ("partial", "holistic"):
            for layer in ("posture", "hands"):
                what = f"{layer} from {name} features" + (", boxes off as detected ones are" if off else "")
                figures[f"{what} (linear)"] = _probe(fitted, held_out, name, layer)
    for layer in ("posture", "hands"):
        values = np.array([getattr(looked, layer) for looked in held_out])
        figures[f"{layer}, always the most frequent"] = float((values == _mode(values)).mean())
    return figures


@torch.inference_mode()
def _matching(encoder: Blip2Encoder, movies: int, seed: int) -> dict[str, float]:
    right: dict[tuple[str, str], list[bool]] = {}
    strangers: list[Known] = []
    for number in range(movies):
        rng = np.random.default_rng([HELD_OUT, seed, number])
        movie = MadeMovie.made(HELD_OUT, seed, number)
        named, hot = [traits(who.look) for who in movie.cast], movie.lives.actions
        met: list[Known] = []
        for frame, picture in _pictures(movie, rng):
            seen = np.flatnonzero(picture.inside * picture.visible >= SEEN)
            there = [Known(named[person], deed(hot[frame, person])) for person in seen]
            images = _images(encoder, picture, list(picture.boxes[seen]))
            for place, person in enumerate(seen.tolist()):
                if picture.inside[person] * picture.visible[person] < _CLEAR:
                    continue
                met.append(there[place])
                for where, image, persons, who in (
                    ("cut-out persons", images[1 + place], [there[place].cut_out()], 0),
                    ("whole frames", images[0], there, place),
                ):
                    claims: list[tuple[str, Claim | None]] = [
                        ("true", draw_claim(rng, persons, who, true=True))
                    ]
                    claims.append(("in a single thing", draw_claim(rng, persons, who, true=False)))
                    if strangers:
                        stranger = strangers[int(rng.integers(len(strangers)))]
                        claims.append(("another's", others_claim(rng, persons, who, stranger)))
                    for kind, claim in claims:
                        if claim is not None:
                            answer = _matches(encoder, image, claim.sentence)
                            right.setdefault((where, kind), []).append(answer == (kind == "true"))
        strangers = met
    mean = {at: float(np.mean(answers)) for at, answers in right.items()}
    return {
        f"matching, {where}, false ones are {text}": (mean[where, "true"] + mean[where, kind]) / 2
        for where in ("cut-out persons", "whole frames")
        for kind, text in (
            ("another's", "another person's"),
            ("in a single thing", "false in a single thing"),
        )
    }


def _matches(encoder: Blip2Encoder, image_CSS: torch.Tensor, sentence: str) -> bool:
    ids = encoder.tokenise(sentence)
    output = encoder.model(
        pixel_values=encoder.normalise(image_CSS[None]), input_ids=ids, attention_mask=torch.ones_like(ids),
        use_image_text_matching_head=True,
    )  # fmt: skip
    return bool(output.logits_per_image[0].argmax() == 1)


@torch.inference_mode()
def _looked(encoder: Blip2Encoder, stream: int, movies: int, seed: int, off: bool) -> Iterator[Looked]:
    for number in range(movies):
        rng = np.random.default_rng([stream, seed, number])
        movie = MadeMovie.made(stream, seed, number)
        hot = movie.lives.actions
        for frame, picture in _pictures(movie, rng):
            seen = np.flatnonzero(picture.inside * picture.visible >= SEEN)
            boxes = [jittered(rng, box) if off else box for box in picture.boxes[seen]]
            states = encoder.see(_images(encoder, picture, boxes))
            for place, person in enumerate(seen.tolist()):
                sentence = movie.cast[person].references[0]
                both = encoder.read(states[[0, 1 + place]], sentence).numpy()
                yield Looked(both[0], both[1], *deed(hot[frame, person]))


def _pictures(movie: MadeMovie, rng: np.random.Generator) -> Iterator[tuple[int, Picture]]:
    for frame in rng.choice(movie.frames, FRAMES_PER_MOVIE, replace=False).tolist():
        picture = movie.picture(frame)
        if (picture.inside * picture.visible >= SEEN).any():
            yield frame, picture


def _images(encoder: Blip2Encoder, picture: Picture, boxes: Sequence[np.ndarray]) -> torch.Tensor:
    """The whole frame, then what each of the boxes cuts out of it."""
    frame = torch.from_numpy(picture.image)[None]
    boxes_N4 = torch.tensor(np.array(boxes), dtype=torch.float32).reshape(-1, 4)
    size, fill = encoder.image_size, encoder.fill
    whole = whole_frames(frame, size, encoder.fit, fill)
    return torch.cat([whole, person_crops(frame, boxes_N4, [0] * len(boxes), size, MARGIN, fill)])


def _probe(fitted: Iterable[Looked], asked: Iterable[Looked], stream: str, layer: str) -> float:
    """Share of right answers of a ridge regression from features to one-hot classes."""
    x, y = _table(fitted, stream, layer)
    asked_x, asked_y = _table(asked, stream, layer)
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, asked_x = _with_ones((x - mean) / std), _with_ones((asked_x - mean) / std)
    classes = np.unique(y)
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y[:, None] == classes))
    return float((classes[(asked_x @ weights).argmax(1)] == asked_y).mean())


def _table(rows: Iterable[Looked], stream: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(getattr(row, stream), getattr(row, layer)) for row in rows]
    return np.stack([x for x, _ in pairs]).astype(np.float64), np.array([y for _, y in pairs])


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def _mode(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])
