"""Detectors of other packages: what one has to be, and how it is loaded.

In: a `DetectorConfig` whose `implementation` is an entry point in the group `rhas.detectors`, which is called with it.
Out: an `OutsideDetector`, tried once on a grey picture, so that what doesn't fit is told before movies are read.

One that can't read gives the same candidates for every sentence. Who gets which of them is then settled by scores
alone: it serves movies with one person who is referred to.

Shapes: B frames of H x W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from rhas.extract.config import DETECTORS, DetectorConfig
from rhas.extract.ground.boxes import Candidates
from rhas.manifests.common.plugins import expect, make, trial

_TRIAL = (64, 96)  # height and width of the picture that it is tried on


class OutsideDetector(ABC):
    """A detector that isn't a GroundingDINO."""

    @property
    @abstractmethod
    def weights_hash(self) -> str:
        """Which weights these are: what features are known by. `rhas.extract.weights.fingerprint` has one for
        modules."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """Moves it."""

    def check(self, sentences: Sequence[str]) -> None:  # noqa: B027  most have nothing to refuse
        """Raises one InputError with all sentences that can't be grounded; by default any can."""

    @abstractmethod
    def detect(self, frames_BHW3: Tensor, sentences: Sequence[str]) -> list[list[Candidates]]:
        """Candidates of every sentence in every frame: `result[sentence][frame]`, each best first.

        `frames_BHW3` are RGB, uint8, all of one size. Called in `torch.inference_mode`.
        `rhas.extract.ground.boxes.select` makes candidates of a model's boxes and scores. None with a score below
        `config.lowest_threshold`.
        """


def load(config: DetectorConfig) -> OutsideDetector:
    """Raises InputError, naming the entry point, for a detector that can't be made, or isn't what it has to be."""
    detector: OutsideDetector = make(DETECTORS, config.implementation, OutsideDetector, config)  # type: ignore[type-abstract]
    sentences = ["the man", "the woman"]
    with trial(DETECTORS, config.implementation, detector, OutsideDetector):
        with torch.inference_mode():
            found = detector.detect(torch.full((1, *_TRIAL, 3), 128, dtype=torch.uint8), sentences)
        check_found(found, len(sentences), 1)
    return detector


def check_found(found: Sequence[Sequence[Candidates]], sentences: int, frames: int) -> None:
    """Raises ValueError, saying what a detector gave instead of candidates for so many sentences and frames each."""
    expect(len(found) == sentences, f"candidates of {len(found)} sentences, not of {sentences}")
    for own in found:
        expect(len(own) == frames, f"candidates of {len(own)} frames, not of {frames}")
        for candidates in own:
            _check(candidates)


def _check(candidates: Candidates) -> None:
    expect(isinstance(candidates, Candidates), f"a {type(candidates).__name__}, not Candidates")
    boxes, scores = candidates.boxes, candidates.scores
    expect(isinstance(boxes, Tensor) and isinstance(scores, Tensor), "boxes or scores that are no tensors")
    expect(scores.ndim == 1, f"scores of shape {tuple(scores.shape)}, not (N,)")
    shape = (len(scores), 4)
    expect(boxes.shape == shape, f"boxes of shape {tuple(boxes.shape)}, not {shape}")
    for name, tensor in (("boxes", boxes), ("scores", scores)):
        right = tensor.dtype == torch.float32 and tensor.device.type == "cpu"
        expect(right, f"{name} of {tensor.dtype} on {tensor.device}, not torch.float32 on cpu")
        expect(bool(tensor.isfinite().all()), f"{name} that are not finite")
        expect(bool(((tensor >= 0) & (tensor <= 1)).all()), f"{name} outside [0, 1]")
    expect(bool((boxes[:, 2:] > boxes[:, :2]).all()), "boxes without an area; they are x1 y1 x2 y2")
    expect(bool((scores[1:] <= scores[:-1]).all()), "candidates that are not best first")
