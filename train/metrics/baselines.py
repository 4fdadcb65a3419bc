"""Baselines that look at no feature: a result without them beside it says little on a long-tailed set.

In: labels of the training split, and `Video`s of the split to score. Out: the same videos with scores of 0
and 1 in place of the model's, to go through the same evaluation; any τ in (0, 1] cuts them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch

from rhas.train.metrics.evaluate import evaluate
from rhas.train.metrics.report import Report
from rhas.train.metrics.video import Ints, Video

Baseline = Callable[[Video], Video]


def constant(training_counts: Ints) -> Baseline:
    """The most frequent class of the training labels (ties: lowest index), on every frame."""
    c = int(training_counts.argmax())
    return lambda video: _always(video, c)


def prior(training_counts: Ints, generator: torch.Generator) -> Baseline:
    """One class per frame, drawn by its frequency in the training labels. Draws follow the videos' order."""
    weights_C = torch.from_numpy(training_counts).double()

    def draw(video: Video) -> Video:
        scores_TC = np.zeros_like(video.scores)
        if frames := len(scores_TC):
            drawn_T = torch.multinomial(weights_C, frames, replacement=True, generator=generator).numpy()
            scores_TC[np.arange(frames), drawn_T] = 1
        return replace(video, scores=scores_TC)

    return draw


def person_mode(video: Video) -> Video:
    """The most frequent class of this very person in this very video, on every frame; none if unlabelled.

    An oracle: it reads the truth that it is scored against. No constant per video has a higher ACC.
    """
    counts_C = np.count_nonzero(video.labels[video.valid], axis=0)
    return _always(video, int(counts_C.argmax()) if counts_C.any() else None)


@dataclass(frozen=True)
class Comparison:
    """A model's report with the baselines' on the same split and at the same τ, by name."""

    model: Report
    baselines: dict[str, Report]

    def to_dict(self, actions: Sequence[str] | None = None) -> dict[str, object]:
        """Plain data for metrics.json; the table per class, by name with `actions`, is the model's alone."""
        rows: dict[str, object] = {}
        for name, report in self.baselines.items():
            rows[name] = {key: value for key, value in report.to_dict().items() if key != "per_class"}
        return {"model": self.model.to_dict(actions), "baselines": rows}


def compare(
    videos: Iterable[Video],
    tau: float | None,
    training_counts: Ints,
    generator: torch.Generator,
    others: Mapping[str, Iterable[Video]] = MappingProxyType({}),
    background: Sequence[int] = (),
) -> Comparison:
    """Evaluate the model's scores, the three baselines, and `others`: the same videos with scores of anything else.

    `background` as in `evaluate`. `videos` is walked four times, one after the other, so that the scores that mAP
    keeps are never those of two reports: a list, or an object that reads them anew, but no iterator (`TypeError`).
    """
    if iter(videos) is videos:
        raise TypeError(
            f"got {videos = }, which can be walked once: expected a list, or anything re-iterable"
        )
    baselines: dict[str, Baseline] = {
        "constant": constant(training_counts),
        "prior": prior(training_counts, generator),
        "person_mode": person_mode,
    }
    scored = {name: map(baseline, videos) for name, baseline in baselines.items()} | dict(others)
    return Comparison(
        evaluate(videos, tau, background),
        {name: evaluate(again, tau, background) for name, again in scored.items()},
    )


def _always(video: Video, c: int | None) -> Video:
    scores_TC = np.zeros_like(video.scores)
    if c is not None:
        scores_TC[:, c] = 1
    return replace(video, scores=scores_TC)
