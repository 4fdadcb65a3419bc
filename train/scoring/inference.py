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
from torch import Tensor

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.config import TrainConfig
from rhas.train.data import Batch, BatchLoader, BatchSampler, SampleSet
from rhas.train.data.windows import Clip, Window, cut
from rhas.train.device import autocast
from rhas.train.metrics import Video, label_sets
from rhas.train.models.segmenter import Segmenter
from rhas.train.scoring.postprocess import postprocess

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores [T, C] of one window."""

    window: Window
    scores: Floats

    def video(self, vocabulary: Vocabulary) -> Video:
        """With its truth."""
        labels_TC, valid_T = self.window.labels(vocabulary)
        return Video(self.scores, labels_TC, valid_T, self.window.name)


@dataclass(frozen=True, eq=False)
class Series:
    """Scores [T, C] of one person, over all of a clip; 0 where no window covers it."""

    clip: Clip
    scores: Floats
    covered: Bools  # [T]: in some window

    @property
    def name(self) -> str:
        return f"{self.clip.movie_id}/{self.clip.person_id}"

    @property
    def promised(self) -> Bools:
        """[T]: frames that are to be scored, and are."""
        return self.covered & (self.clip.status != FrameStatus.OUTSIDE)

    def predicted(self, tau: float | None) -> Bools:
        """Label sets [T, C] at τ (see `label_sets`); empty where nothing is promised."""
        return label_sets(self.scores, tau) & self.promised[:, None]

    def truth(self, vocabulary: Vocabulary) -> tuple[Bools, Bools]:
        """(labels [T, C], valid [T]); frames in no window are not valid, so that they count nowhere."""
        whole = Window(self.clip, self.clip.first, self.clip.first + len(self.covered))
        labels_TC, valid_T = whole.labels(vocabulary)
        return labels_TC, valid_T & self.covered

    def video(self, vocabulary: Vocabulary) -> Video:
        """With its truth."""
        return Video(self.scores, *self.truth(vocabulary), self.name)

    def windows(self, frames: int) -> Iterator[WindowScores]:
        """Cut in windows again, each covered frame in one of them."""
        for window in cut([self.clip], frames)[0]:
            own = slice(window.start - self.clip.first, window.stop - self.clip.first)
            if self.covered[own].all():
                yield WindowScores(window, self.scores[own])


def score(model: Segmenter, samples: SampleSet, config: TrainConfig) -> Iterator[WindowScores]:
    """Scores of every sample, in their order. Raises InputError, naming the window, for scores that aren't finite."""
    device = next(model.parameters()).device
    model.eval()
    sampler = BatchSampler(len(samples), config.batch, seed=0, shuffle=False)
    windows = iter(samples.windows)
    for batch in BatchLoader(samples, sampler, config.workers, pin_memory=device.type == "cuda"):
        check()
        scores_BCT = _predict(model, batch, config)
        for name, scores_CT, length in zip(batch.names, scores_BCT, batch.lengths_B.tolist(), strict=True):
            window, rate = next(windows), config.data.sample_rate
            assert window.name == name, f"got {name = }, expected {window.name}"
            seen_TC = np.ascontiguousarray(scores_CT[:, : -(-length // rate)].T.numpy())
            scores_TC = postprocess(seen_TC, config.postprocess).repeat(rate, axis=0)[:length]
            if not np.isfinite(scores_TC).all():
                raise InputError(Problem(name, "finite scores from the model", value="NaN or infinity"))
            yield WindowScores(window, scores_TC)


def _predict(model: Segmenter, batch: Batch, config: TrainConfig) -> Tensor:
    """Scores [B, C, T / sample rate, rounded up]: the mean of a run over every frame offset (ActDiff).

    Each run sees one frame of every block of `sample_rate` frames; the last block may lack some.
    """
    rate, device = config.data.sample_rate, next(model.parameters()).device
    lengths = batch.lengths_B.tolist()
    total_BCT: Tensor | None = None
    runs_B1T = torch.zeros(len(batch), 1, -(-max(lengths) // rate))
    for offset in range(min(rate, max(lengths))):
        seen = batch.subsampled(rate, [min(offset, length - 1) for length in lengths])
        # Every offset starts from the same noise.
        generators = seen.generators(device, config.seed, "predict")
        with torch.no_grad(), autocast(device, config.precision):
            scores_BCT = model.predict(seen.to(device), generators).float().cpu()
        if total_BCT is None:
            total_BCT = torch.zeros(len(batch), scores_BCT.shape[1], runs_B1T.shape[2])
        total_BCT[:, :, : scores_BCT.shape[2]] += scores_BCT
        runs_B1T[:, 0, : scores_BCT.shape[2]] += seen.mask_BT
    assert total_BCT is not None
    return total_BCT / runs_B1T.clamp(min=1)


def stitch(windows: Iterable[WindowScores]) -> Iterator[Series]:
    """The series of each person, whose windows follow each other in `windows`.

    Where windows overlap, each weighs the less the nearer a frame is to its edge, so that one fades into the next.
    """
    for _, own in groupby(windows, key=lambda scores: scores.window.place[:2]):
        parts = list(own)
        clip, classes = parts[0].window.clip, parts[0].scores.shape[1]
        sums_TC = np.zeros((len(clip.status), classes))
        weights_T1 = np.zeros((len(clip.status), 1))
        for part in parts:
            where = slice(part.window.start - clip.first, part.window.stop - clip.first)
            weight_T1 = _triangle(len(part.scores))[:, None]
            sums_TC[where] += weight_T1 * part.scores
            weights_T1[where] += weight_T1
        # In float64, so that where there is one window its scores come out to the bit.
        scores_TC = (sums_TC / np.where(weights_T1, weights_T1, 1)).astype(np.float32)
        yield Series(clip, scores_TC, weights_T1[:, 0] > 0)


def _triangle(frames: int) -> NDArray[np.float64]:
    """[T] each frame's distance from what is next to the window."""
    places = np.arange(1.0, frames + 1)
    return np.minimum(places, places[::-1])
