"""The read-out: how a model's scores become the ones that are measured.

In: for a person the scores of every head that a model has. A `ReadOut` says whose mean is taken, by which shares, how
it is smoothed along time, how classes are brought to one threshold, that threshold τ, and whether labels are decoded
by how long actions last (`decoding`). Out: the scores to be cut at τ. Which one is best is chosen by `choosing`.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.decoding import decoded_classes, decoded_sets
from rhas.train.metrics.durations import ActionPrior
from rhas.train.metrics.evaluate import HALF
from rhas.train.metrics.video import Bools, Frames, Video, label_sets

Floats = NDArray[np.float32]
Smoothing = Literal["none", "median", "gaussian"]
Decoding = Literal["none", "durations"]


@dataclass(frozen=True)
class ReadOut:
    """How scores are read."""

    tau: float | None = HALF
    """None: one label a frame, the best class."""
    heads: tuple[str, ...] = ()
    """Whose mean is taken; none: a model's first."""
    smoothing: Smoothing = "none"
    width: float = 0.0
    taus: tuple[float, ...] = ()
    """[C]: each class's own threshold, which its scores are raised from to τ = ½; none: one threshold for all."""
    shares: tuple[float, ...] = ()
    """Of the heads in their mean; none: all the same."""
    prior: ActionPrior | None = None
    """What labels are decoded by; none: they aren't."""
    evidence: float = 0.0
    """Of a frame in decoding."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ReadOut:
        """The inverse of `asdict`, from JSON."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        prior = record.get("prior")
        return cls(**{**plain, "prior": None if prior is None else ActionPrior.from_record(prior)})

    def scores(self, heads: Mapping[str, Floats]) -> Floats:
        """The scores [T, C] to be measured, cut at τ and written down, of one person.

        Raises InputError for a head that there isn't.
        """
        scores_TC = self.smooth_scores(heads)
        thresholds = self.taus or self.tau
        raised_TC = brought_to_half(scores_TC, self.taus) if self.taus else scores_TC
        if self.prior is None:
            return raised_TC
        if thresholds is None:
            return made_best(scores_TC, decoded_classes(scores_TC, self.prior, self.evidence))
        on_TC = decoded_sets(scores_TC, [thresholds], self.prior, self.evidence)[0]
        return brought_across(raised_TC, self.tau or HALF, on_TC)

    def smooth_scores(self, heads: Mapping[str, Floats]) -> Floats:
        """The scores [T, C] that thresholds are for, before any cuts them or anything is decoded."""
        names = self.heads or (next(iter(heads)),)
        if unknown := [name for name in names if name not in heads]:
            expected = f"heads of the model: {', '.join(heads)}"
            raise InputError(Problem("readout", expected, column="heads", value=", ".join(unknown)))
        scores_TC = heads[names[0]]
        if len(names) > 1:
            every = [heads[name] for name in names]
            scores_TC = np.average(every, axis=0, weights=self.shares or None).astype(np.float32)
        return smoothed(scores_TC, self.smoothing, self.width)

    def label_sets(self, scores_TC: Floats, grid: Sequence[float | None]) -> list[Bools]:
        """The labels [T, C] that are read at each τ from `smooth_scores`, whatever thresholds the read-out has."""
        if self.prior is None:
            return [label_sets(scores_TC, tau) for tau in grid]
        cut = [tau for tau in grid if tau is not None]
        if not cut:
            best_T = decoded_classes(scores_TC, self.prior, self.evidence)
            return [label_sets(made_best(scores_TC, best_T), None) for _ in grid]
        return list(decoded_sets(scores_TC, cut, self.prior, self.evidence))

    def heads_text(self) -> str:
        """The heads and their shares, none for the model's first."""
        shares = [f"{share:g} " for share in self.shares] or [""] * len(self.heads)
        return " + ".join(share + head for share, head in zip(shares, self.heads, strict=True))

    def text(self) -> str:
        """In words, for reports."""
        heads = self.heads_text() or "the model's first head"
        smoothing = (
            "not smoothed" if self.smoothing == "none" else f"{self.smoothing} of {self.width:g} frames"
        )
        tau = "best class" if self.tau is None else f"τ = {self.tau:g}{' of each class' if self.taus else ''}"
        decoded = f"; decoded by durations, a frame's evidence × {self.evidence:g}" if self.prior else ""
        return f"{heads}; {smoothing}; {tau}{decoded}"


@dataclass(frozen=True, eq=False)
class HeadScores:
    """One person's scores [T, C] of every head, and truth as in `Video`."""

    heads: Mapping[str, Floats]
    labels: Bools
    valid: Bools
    name: str

    def video(self, readout: ReadOut) -> Video:
        """As they are read."""
        return Video(readout.scores(self.heads), self.labels, self.valid, self.name)

    def present(self, scores_TC: Floats) -> Frames:
        """The frames that count, with such scores. Raises InputError if they don't fit."""
        return Video(scores_TC, self.labels, self.valid, self.name).present()


def smoothed(scores_TC: Floats, smoothing: Smoothing, width: float) -> Floats:
    """Along time; the ends are continued by what is there last."""
    if smoothing == "median":
        return median_filter(scores_TC, size=(int(width), 1), mode="nearest")
    if smoothing == "gaussian":
        return gaussian_filter1d(scores_TC, width, axis=0, mode="nearest").astype(np.float32)
    return scores_TC


def brought_to_half(scores_TC: Floats, taus_C: Sequence[float]) -> Floats:
    """Scores in [0, 1] raised to the power that makes ½ of their class's τ.

    At least ½ where they were at least τ and below it elsewhere, to the bit: a power alone rounds some across.
    """
    own_C = np.array(taus_C)
    raised_TC = scores_TC ** (np.log(HALF) / np.log(own_C))
    below = np.nextafter(np.float32(HALF), np.float32(0))
    at_least_TC = scores_TC >= own_C.astype(np.float32)  # as `label_sets` compares
    return np.where(at_least_TC, raised_TC.clip(min=HALF), raised_TC.clip(max=below)).astype(np.float32)


def brought_across(scores_TC: Floats, tau: float, on_TC: Bools) -> Floats:
    """Scores in [0, 1] that are at least τ exactly where `on_TC` says, and otherwise as they were: the nearest such."""
    least = np.float32(tau)
    below = np.nextafter(least, np.float32(-1))
    return np.where(on_TC, scores_TC.clip(min=least), scores_TC.clip(max=below)).astype(np.float32)


def made_best(scores_TC: Floats, best_T: NDArray[np.int64]) -> Floats:
    """Scores whose best class is `best_T`: it changes places with the one that was, and nobody is level with it."""
    changed_TC, each_T = scores_TC.copy(), np.arange(len(scores_TC))
    top_T = scores_TC.max(1, initial=0.0)
    changed_TC[each_T, scores_TC.argmax(1)] = scores_TC[each_T, best_T]
    level_T = np.nextafter(top_T, np.float32(-1)).clip(min=0)
    changed_TC = np.minimum(changed_TC, level_T[:, None])
    changed_TC[each_T, best_T] = top_T
    return changed_TC.astype(np.float32)
