"""The read-out: how a model's scores become the ones that are measured, and choosing it on the validation split.

In: for each person the scores of every head that a model has, and the truth. Out: a `ReadOut`, which says whose mean is
taken, how it is smoothed along time, how classes are brought to one threshold, and that threshold τ. Chosen by macro
F1@50, as τ is (`thresholds`), never on the test split.

Segments last, scores flicker: what smoothing is worth is more than most parts of a model. A class's own threshold is
worth something too, but where a class has few segments the best one for them is chance; so each is drawn towards the one
that is best for all, by how much is chosen by cross-validation over persons.

Shapes: T frames, N frames of all persons side by side, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.evaluate import HALF, no_videos
from rhas.train.metrics.segments import OVERLAPS, SegmentCounts
from rhas.train.metrics.thresholds import GRID
from rhas.train.metrics.video import Bools, Ints, Video

Floats = NDArray[np.float32]
Smoothing = Literal["none", "median", "gaussian"]

WIDTHS: dict[Smoothing, tuple[float, ...]] = {
    "median": (3, 5, 7, 9, 11, 15, 21, 31, 45),
    "gaussian": (0.5, 1, 1.5, 2, 3, 4, 6, 8),
}
"""That are tried: a median's frames, a Gaussian's standard deviation in frames. Wider ones only while that helps."""
FOLDS = 5
PULLS = (50.0, 20.0, 10.0, 5.0)
"""How many true segments the threshold of all classes counts for beside a class's own."""
_AT_50 = OVERLAPS.index(50)


@dataclass(frozen=True)
class ReadOut:
    """How scores are read."""

    tau: float | None = HALF
    """None: one label a frame, the best class."""
    heads: tuple[str, ...] = ()
    """Whose mean is taken; none: a model's first."""
    smoothing: Smoothing = "none"
    width: float = 0.0
    powers: tuple[float, ...] = ()
    """[C]: what each class's scores are raised to, which brings its own threshold to τ; none: one threshold for all."""

    def scores(self, heads: Mapping[str, Floats]) -> Floats:
        """The scores [T, C] to be measured, cut at τ and written down, of one person. Raises KeyError for no head."""
        names = self.heads or (next(iter(heads)),)
        scores_TC = heads[names[0]] if len(names) == 1 else _mean([heads[name] for name in names])
        scores_TC = smoothed(scores_TC, self.smoothing, self.width)
        if self.powers:
            scores_TC = scores_TC ** np.array(self.powers, dtype=np.float32)
        return scores_TC

    def text(self) -> str:
        """In words, for reports."""
        heads = " + ".join(self.heads) or "the model's first head"
        smoothing = "not smoothed" if self.smoothing == "none" else f"{self.smoothing} of {self.width:g} frames"
        tau = "best class" if self.tau is None else f"τ = {self.tau:g}{' of each class' if self.powers else ''}"
        return f"{heads}; {smoothing}; {tau}"


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


class Tried(NamedTuple):
    """A read-out that was tried, and the macro F1@50 at its best τ, in percent."""

    readout: ReadOut
    f1_macro_50: float


@dataclass(frozen=True)
class Choice:
    """The read-out that was chosen, its macro F1@50 in percent, and all that were tried."""

    readout: ReadOut
    f1_macro_50: float
    tried: tuple[Tried, ...]


def smoothed(scores_TC: Floats, smoothing: Smoothing, width: float) -> Floats:
    """Along time; the ends are continued by what is there last."""
    if smoothing == "median":
        return median_filter(scores_TC, size=(int(width), 1), mode="nearest")
    if smoothing == "gaussian":
        return gaussian_filter1d(scores_TC, width, axis=0, mode="nearest").astype(np.float32)
    return scores_TC


def choose_readout(persons: Sequence[HeadScores]) -> Choice:
    """The best read-out for labels of several actions a frame. Raises InputError if there is nothing to choose by.

    Head and smoothing are chosen in turn, twice, each time at the best τ; then τ of each class.
    """
    if not persons:
        raise no_videos()
    heads = list(persons[0].heads)
    several = [(name,) for name in heads] + ([tuple(heads)] if len(heads) > 1 else [])
    tried: dict[ReadOut, Tried] = {}

    def at_best(readout: ReadOut) -> Tried:
        if readout not in tried:
            counts = _counts_by_tau(persons, readout)
            f1 = {tau: own.macro()[50] for tau, own in counts.items()}
            if any(np.isnan(value) for value in f1.values()):
                raise InputError(Problem("validation videos", "at least one labelled segment to choose by"))
            tau = max(f1, key=lambda t: (f1[t], -abs(t - HALF), -t))
            chosen = ReadOut(tau, readout.heads, readout.smoothing, readout.width)
            tried[readout] = Tried(chosen, f1[tau])
        return tried[readout]

    best = at_best(ReadOut(heads=several[0]))
    for _ in range(2):
        now = best.readout
        options = [at_best(ReadOut(HALF, names, now.smoothing, now.width)) for names in several]
        best = max([best, *options], key=lambda option: option.f1_macro_50)
        for smoothing, widths in WIDTHS.items():
            own = at_best(ReadOut(HALF, best.readout.heads))
            worse = 0
            for width in widths:
                wider = at_best(ReadOut(HALF, best.readout.heads, smoothing, width))
                worse = 0 if wider.f1_macro_50 > own.f1_macro_50 else worse + 1
                own = max(own, wider, key=lambda option: option.f1_macro_50)
                if worse == 2:
                    break
            best = max(best, own, key=lambda option: option.f1_macro_50)
    by_class = _by_class(persons, best)
    everything = (*tried.values(), *([by_class] if by_class is not best else []))
    return Choice(by_class.readout, by_class.f1_macro_50, everything)


def _by_class(persons: Sequence[HeadScores], best: Tried) -> Tried:
    """`best` with a threshold of each class, if cross-validation over persons says that this helps; else as it is."""
    folds = [persons[start::FOLDS] for start in range(min(FOLDS, len(persons)))]
    if len(folds) < 2:
        return best
    counts = [_counts_by_tau(own, best.readout) for own in folds]
    rest = [_sum([c for j, c in enumerate(counts) if j != i]) for i in range(len(folds))]
    scored = {}
    for pull in (None, *PULLS):
        held_out = _total([_at(own, _thresholds(other, pull)) for own, other in zip(counts, rest, strict=True)])
        scored[pull] = held_out.macro()[50]
    pull = max(scored, key=lambda option: scored[option])
    if pull is None:
        return best
    taus_C = _thresholds(_sum(counts), pull)
    f1 = _at(_sum(counts), taus_C).macro()[50]
    # s^p ≥ τ where s ≥ τ_c.
    powers = tuple(float(np.log(HALF) / np.log(tau)) for tau in taus_C)
    shared = best.readout
    return Tried(ReadOut(HALF, shared.heads, shared.smoothing, shared.width, powers), f1)


def _thresholds(counts: Mapping[float, SegmentCounts], pull: float | None) -> list[float]:
    """τ of each class [C]: the best for its own segments, with `pull` segments that are average; None: one for all."""
    taus = list(counts)
    f1_GC = np.nan_to_num(np.stack([own.per_class()[_AT_50] for own in counts.values()]))
    mean_G1 = np.array([own.macro()[50] for own in counts.values()])[:, None]
    near_G1 = -1e-6 * np.abs(np.array(taus) - HALF)[:, None]  # of equals the nearest to .5
    if pull is None:
        return [taus[int((np.nan_to_num(mean_G1) + near_G1).argmax())]] * f1_GC.shape[1]
    truth_C = next(iter(counts.values())).truth_C
    value_GC = (truth_C * f1_GC + pull * np.nan_to_num(mean_G1)) / (truth_C + pull) + near_G1
    return [taus[i] for i in value_GC.argmax(0)]


def _at(counts: Mapping[float, SegmentCounts], taus_C: Sequence[float]) -> SegmentCounts:
    """The counts of each class at its own τ."""
    at = [(counts[tau], c) for c, tau in enumerate(taus_C)]
    return SegmentCounts(
        np.stack([own.hits_KC[:, c] for own, c in at], 1),
        np.array([own.predicted_C[c] for own, c in at]),
        np.array([own.truth_C[c] for own, c in at]),
    )


def _counts_by_tau(persons: Sequence[HeadScores], readout: ReadOut) -> dict[float, SegmentCounts]:
    """Segments of all persons at every τ of the grid."""
    frames = [person.video(readout).present() for person in persons]
    scores_NC = np.concatenate([own.scores_NC for own in frames])
    labels_NC = np.concatenate([own.labels_NC for own in frames])
    breaks_N = np.concatenate([own.breaks_N for own in frames])
    return {
        tau: SegmentCounts.of(scores_NC >= np.float32(tau), labels_NC, breaks_N) for tau in GRID if tau is not None
    }


def _sum(parts: Sequence[Mapping[float, SegmentCounts]]) -> dict[float, SegmentCounts]:
    return {tau: _total([part[tau] for part in parts]) for tau in parts[0]}


def _total(parts: Sequence[SegmentCounts]) -> SegmentCounts:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _mean(scores: Sequence[Floats]) -> Floats:
    return np.mean(scores, axis=0, dtype=np.float32)
