"""Per-frame mAP and action-conditional metrics as works on dense action detection compute them.

To place a result beside theirs on Charades, MultiTHUMOS and TSU. In: `Video`s. Out: `DenseScores`.

- AP of a class (super-events' APMeter, which PDAN, TSU, MS-TCT and MS-Temba took over): the mean, over positives,
  of the precision down to each in the order of scores. That is `frames.average_precision`, but for frames that score
  the same, which theirs takes in whatever order torch's sort leaves them.
- The mean is over all classes, of which those without positives count 0 (super-events; MS-TCT's Evaluation.py), or over
  those with an AP above 0 (PDAN, TSU, MS-TCT's and MS-Temba's training logs), which is our frame mAP.
- Sampled: of each video with more than 25 frames, 25 at even steps from the second on, as MS-TCT and MS-Temba
  approximate Charades' own protocol. Other videos count nowhere.
- Action-conditional (Tirupattur et al., “Modeling Multi-Label Action Dependencies for Temporal Action Localization”,
  CVPR 2021, as MLAD's and MS-TCT's code has it): precision, recall (at .5) and AP of class i where class j is; or, for
  τ > 0, where j was in the last τ frames (this one among them) and is no more. The mean over pairs i ≠ j for which i
  has a positive there.

MS-TCT and MS-Temba cut videos to a length and leave what lies behind it out of their measure; here all frames count.
All in percent; NaN where there is nothing to measure.

Shapes: N frames, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from rhas.train.metrics.frames import NAN, average_precision
from rhas.train.metrics.report import or_null
from rhas.train.metrics.video import Bools, Floats, Video

SAMPLES = 25
LAGS = (0, 20, 40)  # frames
THRESHOLD = 0.5


@dataclass(frozen=True)
class MeanAP:
    """The same APs, averaged in two ways."""

    all_classes: float  # classes without a positive count 0
    above_zero: float  # over classes with an AP above 0


@dataclass(frozen=True)
class ConditionalScores:
    """Means over pairs of classes; F1 is that of the mean precision and recall, as its authors have it."""

    precision: float
    recall: float
    f1: float
    mAP: float


@dataclass(frozen=True)
class DenseScores:
    """What these works print, percent."""

    frame_mAP: MeanAP
    sampled_mAP: MeanAP
    conditional: dict[int, ConditionalScores]  # by τ, in frames

    def to_dict(self) -> dict[str, object]:
        plain = {
            "frame_mAP": asdict(self.frame_mAP),
            "sampled_mAP": asdict(self.sampled_mAP),
            **{f"conditional@{lag}": asdict(scores) for lag, scores in self.conditional.items()},
        }
        return {name: {key: or_null(value) for key, value in own.items()} for name, own in plain.items()}


def dense_scores(videos: Iterable[Video]) -> DenseScores:
    """All of it; scores of all videos are in memory at once."""
    frames = [video.present() for video in videos]
    scores = [own.scores_NC.astype(np.float32) for own in frames]
    labels = [own.labels_NC for own in frames]
    scores_NC, labels_NC = np.concatenate(scores), np.concatenate(labels)
    sampled = [
        slice(1, 1 + SAMPLES * (len(own) // SAMPLES), len(own) // SAMPLES) if len(own) > SAMPLES else slice(0)
        for own in scores
    ]
    return DenseScores(
        frame_mAP=_mean_ap(scores_NC, labels_NC),
        sampled_mAP=_mean_ap(
            np.concatenate([own[at] for own, at in zip(scores, sampled, strict=True)]),
            np.concatenate([own[at] for own, at in zip(labels, sampled, strict=True)]),
        ),
        conditional={
            lag: _conditional(scores_NC, labels_NC, np.concatenate([_earlier(own, lag) for own in labels]))
            for lag in LAGS
        },
    )


def _mean_ap(scores_NC: Floats, labels_NC: Bools) -> MeanAP:
    if not len(scores_NC):
        return MeanAP(NAN, NAN)
    ap_C = np.nan_to_num(
        [average_precision(*class_N) for class_N in zip(scores_NC.T, labels_NC.T, strict=True)]
    )
    above = ap_C[ap_C > 0]
    return MeanAP(float(ap_C.mean()), float(above.mean()) if above.size else NAN)


def _earlier(labels_NC: Bools, lag: int) -> Bools:
    """[N, C] where a class is, or, with a lag, was in the last `lag` frames of its video and is no more."""
    if lag == 0:
        return labels_NC
    counts_NC = np.cumsum(labels_NC, axis=0)
    before_NC = np.zeros_like(counts_NC)
    before_NC[lag:] = counts_NC[:-lag]
    return (counts_NC > before_NC) & ~labels_NC


def _conditional(scores_NC: Floats, labels_NC: Bools, given_NC: Bools) -> ConditionalScores:
    precisions, recalls, aps = [], [], []
    for j in np.flatnonzero(given_NC.any(axis=0)):
        own_NC, true_NC = scores_NC[given_NC[:, j]], labels_NC[given_NC[:, j]]
        predicted_NC = own_NC >= THRESHOLD
        right_C = (predicted_NC & true_NC).sum(axis=0)
        predicted_C, true_C = predicted_NC.sum(axis=0), true_NC.sum(axis=0)
        for i in np.flatnonzero(true_C):
            if i != j:
                precisions.append(right_C[i] / max(predicted_C[i], 1))
                recalls.append(right_C[i] / true_C[i])
                aps.append(average_precision(own_NC[:, i], true_NC[:, i]))
    if not aps:
        return ConditionalScores(NAN, NAN, NAN, NAN)
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    f1 = 2 * precision * recall / (precision + recall + 1e-9)
    return ConditionalScores(100 * precision, 100 * recall, 100 * f1, float(np.mean(aps)))
