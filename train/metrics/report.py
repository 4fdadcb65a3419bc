"""What an evaluation says: numbers in percent, as dataclasses and as plain data for metrics.json.

In: numbers that the other modules computed. Out: `Report`. NaN means that there was nothing to measure (no
class with a positive, say); JSON has no NaN, so `to_dict` writes null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rhas.train.metrics.top1 import Top1Scores
from rhas.train.metrics.totals import SequenceScores


@dataclass(frozen=True)
class ThresholdScores:
    """Label sets P = [S ≥ τ], or of the best class each, against the truth; percent. F1 by overlap: 10, 25, 50."""

    tau: float | None
    exact: float
    jaccard: float
    example_f1: float
    f1_micro: Mapping[int, float]
    f1_macro: Mapping[int, float]
    edit: float
    without_background: SequenceScores | None = None

    def to_dict(self) -> dict[str, object]:
        return {
            "tau": self.tau,
            "subset_accuracy": or_null(self.exact),
            "sample_jaccard": or_null(self.jaccard),
            "example_f1": or_null(self.example_f1),
            **_by_overlap("f1_micro", self.f1_micro),
            **_by_overlap("f1_macro", self.f1_macro),
            "edit": or_null(self.edit),
            **_without_background(self.without_background),
        }


@dataclass(frozen=True)
class ClassScores:
    """A row of the table per class, at the chosen τ: how much there is of it, AP and F1 by overlap in percent."""

    index: int
    frames: int  # labelled with it
    true_segments: int
    predicted_segments: int
    ap: float
    f1: Mapping[int, float]

    def to_dict(self, actions: Sequence[str] | None = None) -> dict[str, object]:
        return {
            "class": self.index if actions is None else actions[self.index],
            "frames": self.frames,
            "true_segments": self.true_segments,
            "predicted_segments": self.predicted_segments,
            "ap": or_null(self.ap),
            **_by_overlap("f1", self.f1),
        }


@dataclass(frozen=True)
class Report:
    """All metrics of one set of scores over one split; percent.

    `chosen` holds for the τ that was asked for, `half` for τ = .5 (None where a frame has one label); what stands
    above them needs no threshold.
    """

    videos: int
    frames: int  # valid ones
    frame_mAP: float
    acc: float
    top1: Top1Scores
    chosen: ThresholdScores
    half: ThresholdScores | None
    per_class: tuple[ClassScores, ...]

    def to_dict(self, actions: Sequence[str] | None = None) -> dict[str, object]:
        """Plain data for metrics.json; with `actions`, classes go by name instead of index."""
        return {
            "unit": "percent",
            "videos": self.videos,
            "frames": self.frames,
            "frame_mAP": or_null(self.frame_mAP),
            "acc": or_null(self.acc),
            "chosen": self.chosen.to_dict(),
            "half": None if self.half is None else self.half.to_dict(),
            "top1": {
                "mof": or_null(self.top1.mof),
                **_by_overlap("f1", self.top1.f1),
                "edit": or_null(self.top1.edit),
                **_without_background(self.top1.without_background),
            },
            "per_class": [row.to_dict(actions) for row in self.per_class],
        }


def or_null(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value


def _without_background(scores: SequenceScores | None) -> dict[str, object]:
    """A section of its own, where some class is background."""
    if scores is None:
        return {}
    section = {
        **_by_overlap("f1_micro", scores.f1_micro),
        **_by_overlap("f1_macro", scores.f1_macro),
        "edit": or_null(scores.edit),
    }
    return {"without_background": section}


def _by_overlap(name: str, f1: Mapping[int, float]) -> dict[str, object]:
    return {f"{name}@{k}": or_null(value) for k, value in f1.items()}
