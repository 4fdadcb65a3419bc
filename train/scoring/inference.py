"""Scores of a model for windows, and windows of one person put back together.

In: a model and samples, sorted as a `SampleSet` sorts them. Out: scores of every head per window, then per person;
and, read as was chosen on the validation split, one `Series` per person.
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
from rhas.train.metrics.readout import HeadScores, ReadOut
from rhas.train.metrics.segments import runs_of
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.run import Run
from rhas.train.scoring.postprocess import postprocess

ABSENCE_S = 1.0  # who isn't found for less was hidden, or missed
NOT_FOUND = (FrameStatus.MISSING, FrameStatus.DOUBTFUL)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowHeads:
    """Scores [T, C] of one window, of every head that the model has."""

    window: Window
    heads: dict[str, Floats]


@dataclass(frozen=True, eq=False)
class PersonHeads:
    """Scores [T, C] of every head over all of a clip; 0 where no window covers it."""

    clip: Clip
    heads: dict[str, Floats]
    covered: Bools  # [T]: in some window

    def read(self, readout: ReadOut) -> Series:
        """As they are read."""
        return Series(self.clip, readout.scores(self.heads), self.covered)

    def measured(self, vocabulary: Vocabulary) -> HeadScores:
        """With their truth, to choose a read-out by."""
        first = Series(self.clip, next(iter(self.heads.values())), self.covered)
        return HeadScores(self.heads, *first.truth(vocabulary), first.name)


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores [T, C] of one window, as they are read."""

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
        return self.clip.name

    @property
    def promised(self) -> Bools:
        """[T]: frames that are to be scored, and are."""
        return self.covered & (self.clip.status != FrameStatus.OUTSIDE)

    @property
    def absent(self) -> Bools:
        """[T]: promised frames of a person who was looked for and not found, nor for a second around it or more.

        Shorter gaps are the detector's; a doubtful box is none.
        """
        clip = self.clip
        if not clip.grounded:
            return np.zeros(len(self.covered), dtype=bool)
        gone_T = np.isin(clip.status, NOT_FOUND)
        for start, stop in runs_of(gone_T):
            inner = start > 0 and stop < len(gone_T)
            if inner and clip.time_s[stop] - clip.time_s[start] < ABSENCE_S:
                gone_T[start:stop] = False
        return gone_T & self.promised

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


def read_persons(run: Run, samples: SampleSet) -> Iterator[Series]:
    """The scores of everyone in `samples`, as the run reads them: to be measured, cut at τ and written down."""
    persons = stitch(score(run.model, samples, run.config))
    return (person.read(run.validation.readout) for person in persons)


def score(model: Segmenter, samples: SampleSet, config: TrainConfig) -> Iterator[WindowHeads]:
    """Scores of every head for every sample, in their order.

    Raises InputError, naming the window, for scores that aren't finite.
    """
    device = next(model.parameters()).device
    model.eval()
    sampler = BatchSampler(len(samples), config.batch, seed=0, shuffle=False)
    windows = iter(samples.windows)
    for batch in BatchLoader(samples, sampler, config.workers, pin_memory=device.type == "cuda"):
        check()
        heads = _predict(model, batch, config)
        for row, (name, length) in enumerate(zip(batch.names, batch.lengths_B.tolist(), strict=True)):
            window, rate = next(windows), config.data.sample_rate
            assert window.name == name, f"got {name = }, expected {window.name}"
            own = {}
            for head, scores_BCT in heads.items():
                seen_TC = np.ascontiguousarray(scores_BCT[row, :, : -(-length // rate)].T.numpy())
                own[head] = postprocess(seen_TC, config.postprocess).repeat(rate, axis=0)[:length]
                if not np.isfinite(own[head]).all():
                    raise InputError(Problem(name, "finite scores from the model", value="NaN or infinity"))
            yield WindowHeads(window, own)


def _predict(model: Segmenter, batch: Batch, config: TrainConfig) -> dict[str, Tensor]:
    """Scores of every head [B, C, T / sample rate, rounded up]: the mean of a run over every frame offset (ActDiff).

    Each run sees one frame of every block of `sample_rate` frames; the last block may lack some.
    """
    rate, device = config.data.sample_rate, next(model.parameters()).device
    lengths = batch.lengths_B.tolist()
    totals: dict[str, Tensor] = {}
    runs_B1T = torch.zeros(len(batch), 1, -(-max(lengths) // rate))
    for offset in range(min(rate, max(lengths))):
        seen = batch.subsampled(rate, [min(offset, length - 1) for length in lengths])
        # Every offset starts from the same noise.
        generators = seen.generators(device, config.seed, "predict")
        with torch.no_grad(), autocast(device, config.precision):
            heads = model.heads(seen.to(device, non_blocking=True), generators)
        every = torch.stack(list(heads.values())).float().cpu()  # one wait for all of them
        for head, scores_BCT in zip(heads, every, strict=True):
            classes, frames = scores_BCT.shape[1:]
            total_BCT = totals.setdefault(head, torch.zeros(len(batch), classes, runs_B1T.shape[2]))
            total_BCT[:, :, :frames] += scores_BCT
        runs_B1T[:, 0, : seen.mask_BT.shape[1]] += seen.mask_BT
    return {head: total_BCT / runs_B1T.clamp(min=1) for head, total_BCT in totals.items()}


def stitch(windows: Iterable[WindowHeads]) -> Iterator[PersonHeads]:
    """The scores of each person, whose windows follow each other in `windows`.

    Where windows overlap, each weighs the less the nearer a frame is to its edge, so that one fades into the next.
    """
    for _, own in groupby(windows, key=lambda scores: scores.window.place[:2]):
        parts = list(own)
        clip = parts[0].window.clip
        sums = {head: np.zeros((len(clip.status), s.shape[1])) for head, s in parts[0].heads.items()}
        weights_T1 = np.zeros((len(clip.status), 1))
        for part in parts:
            where = slice(part.window.start - clip.first, part.window.stop - clip.first)
            weight_T1 = _triangle(where.stop - where.start)[:, None]
            weights_T1[where] += weight_T1
            for head, scores_TC in part.heads.items():
                sums[head][where] += weight_T1 * scores_TC
        # In float64, so that where there is one window its scores come out to the bit.
        divisor_T1 = np.where(weights_T1, weights_T1, 1)
        heads = {head: (sum_TC / divisor_T1).astype(np.float32) for head, sum_TC in sums.items()}
        yield PersonHeads(clip, heads, weights_T1[:, 0] > 0)


def _triangle(frames: int) -> NDArray[np.float64]:
    """[T] each frame's distance from what is next to the window."""
    places = np.arange(1.0, frames + 1)
    return np.minimum(places, places[::-1])
