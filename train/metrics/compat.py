"""The evaluator released with HopaDIFF, reproduced, so that a reader of its paper can place a result.

NOT A MEASURE OF SEGMENTATION, and never the default. In: `Video`s and the most frequent class of the training
labels. Out: its five numbers in percent, always with what a noisy constant scores under it. It is kept as
it was released:
- a prediction is right if the argmax of the scores is in the label set; all other scores are ignored;
- segments are cut wherever the raw scores change, so in practice every frame is a segment of its own;
- a negative overlap loses its sign, so that segments far apart overlap;
- a true segment can be hit any number of times, and each hit is a true positive;
- edit scores are summed over videos and divided by 2, however many videos there are.

It knows no N/A: valid frames are joined as if nothing lay between them, and a video without any is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from rhas.train.metrics.edit import levenshtein
from rhas.train.metrics.frames import percent
from rhas.train.metrics.report import or_null
from rhas.train.metrics.segments import OVERLAPS
from rhas.train.metrics.video import Bools, Floats, Ints, Video

NOISE = 1e-6


@dataclass(frozen=True)
class ReleasedScores:
    """What the released evaluator prints; nothing here can be compared with the metrics of a `Report`."""

    acc: float
    edit: float
    f1: Mapping[int, float]

    def to_dict(self) -> dict[str, object]:
        return {"acc": or_null(self.acc), "edit": self.edit, **{f"f1@{k}": f1 for k, f1 in self.f1.items()}}


@dataclass(frozen=True)
class ReleasedReport:
    """The scores of a model, and those of a constant with noise: what lies below those shows no skill."""

    model: ReleasedScores
    noisy_constant: ReleasedScores

    def to_dict(self) -> dict[str, object]:
        return {
            "note": "evaluator released with HopaDIFF; not a measure of segmentation",
            "model": self.model.to_dict(),
            "noisy_constant": self.noisy_constant.to_dict(),
        }


def released_report(videos: Iterable[Video], constant: int, generator: torch.Generator) -> ReleasedReport:
    """Run the released evaluator on `videos`, and on class `constant` plus noise of 1e-6 in their place."""
    model, noisy = ReleasedEvaluator(), ReleasedEvaluator()
    for video in videos:
        model.add(video)
        noisy.add(noisy_constant(video, constant, generator))
    return ReleasedReport(model.scores(), noisy.scores())


def noisy_constant(video: Video, constant: int, generator: torch.Generator) -> Video:
    """The video with scores of 1 for one class and 0 for the rest, plus Gaussian noise of 1e-6."""
    noise = torch.randn(video.scores.shape, dtype=torch.float64, generator=generator)
    scores_TC = NOISE * noise.numpy()
    scores_TC[:, constant] += 1
    return replace(video, scores=scores_TC)


class ReleasedEvaluator:
    """Its counts, video after video."""

    def __init__(self) -> None:
        self._correct = 0
        self._frames = 0
        self._edit = 0.0
        self._true_positives = np.zeros(len(OVERLAPS), dtype=np.int64)
        self._hit = np.zeros(len(OVERLAPS), dtype=np.int64)
        self._predicted = 0
        self._truth = 0

    def add(self, video: Video) -> None:
        frames = video.present()
        scores_NC, labels_NC = frames.scores_NC, frames.labels_NC
        if not len(scores_NC):
            return
        p, y = _changes(scores_NC), _changes(labels_NC)
        # [Y, P]: is the argmax of the predicted segment in the label set of the true one?
        right_YP = labels_NC[y][:, scores_NC[p].argmax(axis=1)]
        self._correct += int(labels_NC[np.arange(len(scores_NC)), scores_NC.argmax(axis=1)].sum())
        self._frames += len(scores_NC)
        self._edit += _edit(right_YP)
        self._predicted += p.size
        self._truth += y.size
        target_P, overlap_P = _targets(right_YP, p, y, len(scores_NC))
        for i, k in enumerate(OVERLAPS):
            enough_P = overlap_P >= k / 100
            self._true_positives[i] += np.count_nonzero(enough_P)
            self._hit[i] += np.unique(target_P[enough_P]).size

    def scores(self) -> ReleasedScores:
        return ReleasedScores(
            percent(self._correct, self._frames),
            self._edit / 2,
            {k: self._f1(int(self._true_positives[i]), int(self._hit[i])) for i, k in enumerate(OVERLAPS)},
        )

    def _f1(self, true_positives: int, hit: int) -> float:
        if not true_positives:
            return 0.0
        precision = true_positives / self._predicted
        # True positives count hits, false negatives the truths that were never hit.
        recall = true_positives / (true_positives + self._truth - hit)
        return 100 * 2 * precision * recall / (precision + recall)


def _changes(rows_NC: Floats | Bools) -> Ints:
    """Where segments start: at the first row, and at each that differs from the row before."""
    return np.flatnonzero(np.append(True, (rows_NC[1:] != rows_NC[:-1]).any(axis=1)))


def _edit(right_YP: Bools) -> float:
    """Edit score of one video, where "equal" means that the argmax is in the label set."""
    shorter, longer = sorted(right_YP.shape)
    packed = np.packbits(right_YP if right_YP.shape == (shorter, longer) else right_YP.T, 1, "little")
    distance = levenshtein((int.from_bytes(row.tobytes(), "little") for row in packed), longer)
    return 100 * (1 - distance / longer)


def _targets(right_YP: Bools, p: Ints, y: Ints, frames: int) -> tuple[Ints, Floats]:
    """For each predicted segment the true one with the largest "overlap", and how large; 0 where none is right.

    All pairs at once, since far segments "overlap" too: 8 bytes per pair, 2.4 MB for 100 true segments by 3000.
    """
    p_end, y_end = np.append(p[1:], frames), np.append(y[1:], frames)
    overlap_YP = np.minimum(p_end, y_end[:, None]) - np.maximum(p, y[:, None])
    hull_YP = np.maximum(p_end, y_end[:, None]) - np.minimum(p, y[:, None])
    overlap_YP = right_YP * np.abs(overlap_YP) / hull_YP
    return overlap_YP.argmax(axis=0), overlap_YP.max(axis=0)
