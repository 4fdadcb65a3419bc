"""Boxes from a file in a detector's place: what a tracker or annotators know, or the truth of a made world.

Features with and without it differ by what grounding costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.config import SurenessConfig
from rhas.extract.ground.boxes import Candidates
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.boxes import load_boxes
from rhas.manifests.tables.manifest import Person


class KnownBoxes:
    """Made by `rhas.extract.ground.load_detector` for `detector.implementation: boxes`."""

    def __init__(self, path: Path):
        """Raises `InputError` with all problems of the file."""
        self.path = path
        self.tracklets = load_boxes(path)

    @cached_property
    def weights_hash(self) -> str:
        """Which boxes these are: BLAKE2b-128 of the file in hex."""
        return hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def to(self, device: str | torch.device) -> Self:
        return self

    def check(self, sentences: Sequence[str]) -> None:
        """Any sentence will do: none is read."""

    def tracked(
        self, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]], time_s: NDArray[np.float64],
        ok: NDArray[np.bool_], sure: SurenessConfig,
    ) -> dict[str, PersonBoxes]:  # fmt: skip
        """Everybody's boxes [n] as the file has them, with its tracks and scores, for `tracks.implementation: boxes`.

        Detected where it has a row of just that time, tracked between two rows of one track.
        """
        found = {}
        for person, mask in zip(persons, inside, strict=True):
            boxes = no_boxes(mask, FrameStatus.MISSING)
            if (own := self.tracklets.get(person.key)) is not None:
                known = own.known(time_s)
                there = np.isfinite(known.score) & mask
                boxes.box[there], boxes.score[there], boxes.track[there] = (
                    known.box[there], known.score[there], known.track[there],
                )  # fmt: skip
                boxes.candidates[there] = 1
                boxes.status[there] = np.where(known.exact, FrameStatus.DETECTED, FrameStatus.TRACKED)[there]
                for t in np.flatnonzero(there):
                    boxes.sure[t] = sure.of(FrameStatus(int(boxes.status[t])), float(boxes.score[t]))
            found[person.person_id] = boxes.without(~ok)
        return found

    def look_up(self, persons: Sequence[Person], time_s: NDArray[np.float64]) -> list[list[Candidates]]:
        """As `Detector.detect`: `result[person][time]`, one candidate of score 1 or none."""
        return [[_candidates(box) for box in self._boxes(person, time_s)] for person in persons]

    def _boxes(self, person: Person, time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        own = self.tracklets.get(person.key)
        return np.full((len(time_s), 4), np.nan, np.float32) if own is None else own.at(time_s)


def _candidates(box_4: NDArray[np.float32]) -> Candidates:
    boxes_N4 = torch.from_numpy(box_4[None][: int(np.isfinite(box_4).all())])
    return Candidates(boxes_N4, torch.ones(len(boxes_N4)))
