"""Which of everybody's tracks a sentence, or an example picture, speaks for: from what a features folder keeps of them.

In: `People` of one or more movies, a question, the encoder that made them (or none, where colours are all that is
compared). Out: for each track how well it matches, and how that is beside the others. No movie is opened, and no
detector is there to be asked.

A picture's log odds for a sentence are the encoder's own: of its head for matching, or its vectors' product times the
number that it was trained with. For an example picture they are the product of vectors, or where there are none, those
of a difference of colours (`tracks.assignment`). A track's are the mean over its pictures for a sentence, and those of
the picture that is most alike for an example, which may show another posture.

Shapes: K tracks, C pictures, Q vectors of each of D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.config import config_from_dict
from rhas.extract.encode import load_encoder
from rhas.extract.encode.encoder import Encoder
from rhas.extract.encode.people import as_crops, opened_jpeg, unpacked_vectors
from rhas.extract.tracks.assignment import EACH, SAME
from rhas.extract.tracks.looks import colours, look, unlike
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import KEPT, People

BATCH = 32
# Shares of its width and height by which an example is cut on both sides, as one that fits its person better may be.
TRIMS_X, TRIMS_Y = (0.0, 0.07, 0.14, 0.21), (0.0, 0.05, 0.1)
Measure = Literal["probability", "cosine", "colours"]
MEANING: dict[Measure, str] = {
    "probability": "the encoder's own probability that pictures and sentence belong together, by its mean log odds",
    "cosine": "cosine of the encoder's vectors of pictures and question",
    "colours": "least difference of colours from the example, in CIELAB; the same person in two shots has about 11",
}
SURE = (
    "sure was measured nowhere: it is the lower of two shares, what the match itself says (not of a cosine, which says "
    "none) and where a track stands among all that were compared, 0.5 halfway between the worst and the best of them"
)


@dataclass(frozen=True)
class Answer:
    """By track of all movies in a row: `log_odds` [K] and `value` [K] in the unit `measure`; NaN without a picture."""

    measure: Measure
    log_odds: NDArray[np.float64]
    value: NDArray[np.float64]

    def counted(self) -> NDArray[np.float64]:
        """[K] log odds above what is halfway between the worst and the best; no higher than those of the match."""
        known = self.log_odds[~np.isnan(self.log_odds)]
        if not len(known):
            return self.log_odds
        above = self.log_odds - (known.min() + known.max()) / 2
        return above if self.measure == "cosine" else np.minimum(above, self.log_odds)


def sure_of(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """[K] from 0 to 1, by all answers together; what that means is said by SURE."""
    odds = np.sum([answer.counted() for answer in answers], axis=0)
    return 1 / (1 + np.exp(-np.clip(odds, -50, 50)))


def encoder_of(folder: FeaturesFolder, record: dict[str, Any], device: str) -> Encoder:
    """The one that made the pictures' vectors, or whose crops they are. Raises InputError for other weights."""
    encoder = load_encoder(config_from_dict(record["config"], folder.config).encoder)
    if encoder.weights_hash != record["models"]["encoder"]["hash"]:
        name = record["models"]["encoder"]["name"]
        raise InputError(
            Problem(folder.config, "the weights as they were then", column="encoder", value=name)
        )
    if encoder.compares == "nothing":
        expected = "an encoder that compares sentences and pictures; --like compares colours"
        raise InputError(Problem(folder.config, expected, column="encoder.kind"))
    return encoder.to(device)


def by_words(people: Sequence[People], encoder: Encoder, sentence: str) -> Answer:
    """Raises InputError for a sentence that the encoder can't take."""
    encoder.check([sentence])
    with torch.inference_mode():
        if encoder.compares == "vectors":
            asked_1D = encoder.sentence_vector(sentence).cpu().numpy()[None]
            return _by_vectors(people, asked_1D, encoder.sharpness, sentence=True)
        odds = [_matches(own, encoder, sentence) for own in people]
    log_odds = np.concatenate([_by_track(own, odds_C) for own, odds_C in zip(people, odds, strict=True)])
    return Answer("probability", log_odds, 1 / (1 + np.exp(-log_odds)))


def by_example(people: Sequence[People], encoder: Encoder | None, picture_HW3: NDArray[np.uint8]) -> Answer:
    """`encoder`: None where colours are to be compared."""
    if encoder is not None and encoder.compares == "vectors":
        with torch.inference_mode():
            crop = as_crops([picture_HW3], encoder.image_size, encoder.fill).to(encoder.mean.device)
            vectors_QD = encoder.picture_vectors(encoder.see(crop))[0].cpu().numpy()
        return _by_vectors(people, vectors_QD, encoder.sharpness, sentence=False)
    trimmed = [np.array([x, y, 1 - x, 1 - y], np.float32) for x, y in product(TRIMS_X, TRIMS_Y)]
    own_NF = colours(np.stack([look(picture_HW3, box) for box in trimmed]))
    apart = []
    for one in people:
        colours_CF = one.arrays["colours"].astype(np.float64).reshape(-1, own_NF.shape[1])
        apart.append(-_best_of_track(one, -unlike(colours_CF[:, None], own_NF).min(axis=1, initial=np.inf)))
    value = np.concatenate(apart)
    return Answer("colours", SAME - EACH * value, value)


def _matches(people: People, encoder: Encoder, sentence: str) -> NDArray[np.float64]:
    """[C] log odds; NaN without a picture."""
    odds_C = np.full(len(people.arrays["crop"]), np.nan)
    kept = np.flatnonzero(people.arrays["state"] == KEPT)
    for first in range(0, len(kept), BATCH):
        some = kept[first : first + BATCH]
        opened = [opened_jpeg(people.jpeg(int(crop))) for crop in some]
        images = as_crops(opened, encoder.image_size, encoder.fill).to(encoder.mean.device)
        odds_C[some] = encoder.match(encoder.see(images), sentence).cpu().numpy()
    return odds_C


def _by_vectors(
    people: Sequence[People], asked_QD: NDArray[np.float32], sharpness: float, sentence: bool
) -> Answer:
    """A sentence has one vector, of which a picture's nearest counts; a picture's are compared one by one."""
    cosines = []
    for own in people:
        cosine_C = np.full(len(own.arrays["crop"]), np.nan)
        there = own.places() >= 0
        if there.any():
            products_VQ = (unpacked_vectors(own.arrays["vectors"]) * asked_QD).sum(axis=-1)
            cosine_C[there] = products_VQ.max(axis=1) if sentence else products_VQ.mean(axis=1)
        cosines.append((_by_track if sentence else _best_of_track)(own, cosine_C))
    value = np.concatenate(cosines)
    return Answer("cosine", sharpness * value, value)


def _by_track(people: People, value_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] means over a track's pictures that have a value."""
    known = ~np.isnan(value_C)
    track_C = people.crops_of_tracks()[known]
    count_K = np.bincount(track_C, minlength=people.tracks)
    total_K = np.bincount(track_C, value_C[known], minlength=people.tracks)
    return np.where(count_K > 0, total_K / np.maximum(1, count_K), np.nan)


def _best_of_track(people: People, value_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] the highest of a track's pictures; NaN without one."""
    best_K = np.full(people.tracks, -np.inf)
    known = ~np.isnan(value_C)
    np.maximum.at(best_K, people.crops_of_tracks()[known], value_C[known])
    return np.where(np.isinf(best_K), np.nan, best_K)
