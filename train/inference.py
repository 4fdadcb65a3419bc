"""Scores of a model for windows, and windows of one person put back together.

In: a model and samples, sorted as a `SampleSet` sorts them. Out: scores per window, then one `Series` per person.
What is drawn for a window depends on the run's seed and the window's name, not on what it is batched with, nor
on who asks: evaluation and prediction see the same scores. Thresholds, metrics and files are left to others.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from manifests.errors import InputError, Problem
from manifests.status import FrameStatus
from manifests.vocabulary import Vocabulary
from train.config import TrainConfig
from train.data import BatchLoader, BatchSampler, SampleSet
from train.data.spans import Span, Stretch
from train.loop import autocast
from train.metrics import Video
from train.models.segmenter import Segmenter

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Window:
    """Scores [T, C] of one window."""

    span: Span
    scores: Floats

    def video(self, vocabulary: Vocabulary) -> Video:
        """With its truth."""
        labels_TC, valid_T = self.span.labels(vocabulary)
        return Video(self.scores, labels_TC, valid_T, self.span.name)


@dataclass(frozen=True, eq=False)
class Series:
    """Scores [T, C] of one person, over all of a stretch; 0 where no window covers it."""

    stretch: Stretch
    scores: Floats
    covered: Bools  # [T]: in some window

    @property
    def name(self) -> str:
        return f"{self.stretch.movie_id}/{self.stretch.person_id}"

    @property
    def promised(self) -> Bools:
        """[T]: frames that are to be scored, and are."""
        return self.covered & (self.stretch.status != FrameStatus.OUTSIDE)

    def predicted(self, tau: float) -> Bools:
        """Label sets [T, C] at τ; empty where nothing is promised."""
        return (self.scores >= float(tau)) & self.promised[:, None]

    def truth(self, vocabulary: Vocabulary) -> tuple[Bools, Bools]:
        """(labels [T, C], valid [T]); frames in no window are not valid, so that they count nowhere."""
        whole = Span(self.stretch, self.stretch.first, self.stretch.first + len(self.covered))
        labels_TC, valid_T = whole.labels(vocabulary)
        return labels_TC, valid_T & self.covered

    def video(self, vocabulary: Vocabulary) -> Video:
        """With its truth."""
        return Video(self.scores, *self.truth(vocabulary), self.name)


def score(model: Segmenter, samples: SampleSet, config: TrainConfig) -> Iterator[Window]:
    """Scores of every sample, in their order. Raises InputError, naming the window, for scores that aren't finite."""
    device = next(model.parameters()).device
    model.eval()
    sampler = BatchSampler(len(samples), config.batch, seed=0, shuffle=False)
    spans = iter(samples.spans)
    for batch in BatchLoader(samples, sampler, config.workers, pin_memory=device.type == "cuda"):
        draws = batch.draws(device, config.seed, "predict")
        with torch.no_grad(), autocast(device, config.precision):
            scores_BCT = model.predict(batch.to(device), draws).float().cpu()
        for name, scores_CT, length in zip(batch.names, scores_BCT, batch.lengths_B.tolist(), strict=True):
            span = next(spans)
            assert span.name == name, f"got {name = }, expected {span.name}"
            scores_TC = np.ascontiguousarray(scores_CT[:, :length].T.numpy())
            if not np.isfinite(scores_TC).all():
                raise InputError(Problem(name, "finite scores from the model", value="NaN or infinity"))
            yield Window(span, scores_TC)


def stitch(windows: Iterable[Window]) -> Iterator[Series]:
    """The series of each person, whose windows follow each other in `windows`."""
    for _, own in groupby(windows, key=lambda window: window.span.place[:2]):
        parts = list(own)
        stretch, classes = parts[0].span.stretch, parts[0].scores.shape[1]
        scores_TC = np.zeros((len(stretch.status), classes), dtype=np.float32)
        covered_T = np.zeros(len(stretch.status), dtype=bool)
        for part in parts:
            where = slice(part.span.start - stretch.first, part.span.stop - stretch.first)
            assert not covered_T[where].any(), f"got {part.span.name} over a window before it"
            scores_TC[where], covered_T[where] = part.scores, True
        yield Series(stretch, scores_TC, covered_T)
