"""Choosing the read-out on the validation split.

In: for each person the scores of every head that a model has, and the truth (`HeadScores`); what is left open
(`ReadOutConfig`). Out: a `Choice`, with the best `ReadOut` and all that were tried.
Chosen by macro segment F1@50, never on the test split: macro, because pooled counts would follow the few most frequent
classes of a long tail; at 50 %, because it asks for segments and not only for touches.

Segments last, scores flicker: what smoothing is worth is more than most parts of a model. A class's own threshold is
worth something too, but the best one for a few segments is chance; so each is drawn towards the one
that is best for all, by how much is chosen by cross-validation over persons.

Shapes: T frames, N frames of all persons side by side, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from rhas.manifests.common.configs import Settings
from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.durations import ActionPrior
from rhas.train.metrics.evaluate import HALF, no_videos
from rhas.train.metrics.readout import Decoding, HeadScores, ReadOut, Smoothing
from rhas.train.metrics.segments import OVERLAPS, SegmentCounts

ByTau = Mapping[float | None, SegmentCounts]

# Values of τ. For one label a frame: no threshold, the best class.
BEST_CLASS: tuple[float | None, ...] = (None,)
# Denser near 0: sigmoid scores of rare classes seldom come near .5.
GRID: tuple[float | None, ...] = (0.01, 0.02, 0.03, *(round(0.05 * i, 2) for i in range(1, 20)))
WIDTHS: dict[Smoothing, tuple[float, ...]] = {
    "median": (3, 5, 7, 9, 11, 15, 21, 31, 45),
    "gaussian": (0.5, 1, 1.5, 2, 3, 4, 6, 8),
}
"""That are tried: a median's frames, a Gaussian's standard deviation in frames. Wider ones only while that helps."""
SHARES = tuple((round(0.1 * i, 1), round(1 - 0.1 * i, 1)) for i in range(1, 10) if i != 5)
"""Of two heads, that are tried beside their mean."""
EVIDENCE = (0.03, 0.1, 0.3, 1.0)
"""Of a frame in decoding, that are tried."""
FOLDS = 5
PULLS = (50.0, 20.0, 10.0, 5.0)
"""How many true segments the threshold of all classes counts for beside a class's own."""
_AT_50 = OVERLAPS.index(50)


class ReadOutConfig(Settings):
    """Which read-outs a run may choose from, on its validation split: null leaves open. τ is always chosen there."""

    heads: tuple[str, ...] | None = ()
    """Of the model, whose mean is taken; none: its first."""
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = ()
    """Of the heads in their mean; none: all the same; null: chosen, where there are two heads."""
    smoothing: Smoothing | None = "none"
    """Along time."""
    width: float = Field(0.0, ge=0)
    """Of a smoothing that is not left open: a median's frames, a Gaussian's standard deviation in frames."""
    by_class: bool = False
    """Whether classes may have thresholds of their own."""
    decoding: Decoding | None = "none"
    """By how long actions last and what follows what, learnt from training labels."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if (self.smoothing in (None, "none")) != (self.width == 0):
            yield "width", "a number above 0 where smoothing is median or gaussian, else 0"
        elif self.smoothing == "median" and self.width % 2 != 1:
            yield "width", "an odd number of frames for a median: as many before a frame as behind it"
        if self.shares and (len(self.shares) != len(self.heads or ()) or abs(sum(self.shares) - 1) > 1e-6):
            yield "shares", "a number for each of readout.heads, 1 in all"

    def start(self, tau: float | None = HALF) -> ReadOut:
        """With what is left open as plain as it can be."""
        return ReadOut(tau, self.heads or (), self.smoothing or "none", self.width, shares=self.shares or ())


PLAIN = ReadOutConfig()


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

    def by_head(self) -> dict[str, float]:
        """The macro F1@50 of each head, or mean of heads, that was tried, in percent, with its best smoothing."""
        found: dict[str, float] = {}
        for readout, f1 in self.tried:
            if not readout.taus and readout.heads:
                name = readout.heads_text()
                found[name] = max(f1, found.get(name, 0.0))
        return found


def choose_readout(
    persons: Sequence[HeadScores], config: ReadOutConfig = PLAIN, grid: Sequence[float | None] = GRID,
    prior: ActionPrior | None = None,
) -> Choice:  # fmt: skip
    """The best read-out among those that `config` leaves open; of equals the plainer. Raises InputError if there is
    nothing to choose by.

    Each head, and the mean of all, by the best shares of two, with each smoothing, at the best τ of the grid; the
    best of these, and the same without smoothing, decoded by `prior`; then τ of each class. `grid` is `BEST_CLASS`
    where a frame has one label.
    """
    if not persons:
        raise no_videos()
    assert prior is not None or config.decoding == "none", "nothing to decode by"
    search, start = _Search(persons, grid), config.start()
    heads = [start.heads]
    if config.heads is None:
        names = tuple(persons[0].heads)
        heads = [*((name,) for name in names), *([names] if len(names) > 1 else [])]
    plain = [replace(start, heads=own) for own in heads]
    if config.shares is None:
        pairs = [readout for readout in plain if len(readout.heads) == 2]
        mixed = [replace(pair, shares=shares) for pair in pairs for shares in SHARES]
        plain += sorted(mixed, key=lambda readout: -search.at_best(readout).f1_macro_50)[:1]
    tried = [search.at_best(readout) for readout in plain]
    if config.smoothing is None:
        tried += [search.wider(readout, kind) for readout in plain for kind in WIDTHS]
    best = max(tried, key=_f1)
    if config.decoding != "none":
        bases = [best.readout]
        if config.smoothing is None and best.readout.smoothing != "none":
            bases.append(replace(best.readout, smoothing="none", width=0.0))
        decoded = [
            search.at_best(replace(base, prior=prior, evidence=evidence))
            for base in bases
            for evidence in EVIDENCE
        ]
        best = max(decoded if config.decoding == "durations" else [best, *decoded], key=_f1)
    by_class = best
    if config.by_class and None not in grid:
        by_class = _by_class(persons, best)
    everything = (*search.tried.values(), *([by_class] if by_class is not best else []))
    return Choice(by_class.readout, by_class.f1_macro_50, everything)


class _Search:
    """What was tried so far: nothing twice."""

    def __init__(self, persons: Sequence[HeadScores], grid: Sequence[float | None]):
        self.persons, self.grid = persons, grid
        self.tried: dict[ReadOut, Tried] = {}

    def at_best(self, readout: ReadOut) -> Tried:
        """The read-out at its best τ; of equals the nearest to .5, and then the lower."""
        key = replace(readout, tau=None)
        if key not in self.tried:
            counts = counts_by_tau(self.persons, readout, self.grid)
            f1 = {tau: own.macro()[50] for tau, own in counts.items()}
            if any(np.isnan(value) for value in f1.values()):
                raise InputError(Problem("validation videos", "at least one labelled segment to choose τ by"))
            tau = max(f1, key=lambda t: (f1[t], -abs((t or HALF) - HALF), -(t or HALF)))
            self.tried[key] = Tried(replace(readout, tau=tau), f1[tau])
        return self.tried[key]

    def wider(self, readout: ReadOut, smoothing: Smoothing) -> Tried:
        """The best width of a kind of smoothing: wider and wider, until that has not helped twice."""
        best, worse = self.at_best(replace(readout, smoothing="none", width=0.0)), 0
        for width in WIDTHS[smoothing]:
            next_one = self.at_best(replace(readout, smoothing=smoothing, width=width))
            worse = 0 if next_one.f1_macro_50 > best.f1_macro_50 else worse + 1
            best = max(best, next_one, key=_f1)
            if worse == 2:
                break
        return best


def _f1(tried: Tried) -> float:
    return tried.f1_macro_50


def _by_class(persons: Sequence[HeadScores], best: Tried) -> Tried:
    """`best` with a threshold of each class, if cross-validation over persons says that this helps; else as it is."""
    folds = [persons[start::FOLDS] for start in range(min(FOLDS, len(persons)))]
    if len(folds) < 2:
        return best
    counts = [counts_by_tau(own, best.readout) for own in folds]
    rest = [_sum([c for j, c in enumerate(counts) if j != i]) for i in range(len(folds))]
    scored = {}
    for pull in (None, *PULLS):
        held_out = _total(
            [_at(own, _thresholds(other, pull)) for own, other in zip(counts, rest, strict=True)]
        )
        scored[pull] = held_out.macro()[50]
    pull = max(scored, key=lambda option: scored[option])
    if pull is None:
        return best
    taus_C = _thresholds(_sum(counts), pull)
    f1 = _at(_sum(counts), taus_C).macro()[50]
    return Tried(replace(best.readout, tau=HALF, taus=tuple(taus_C)), f1)


def _thresholds(counts: ByTau, pull: float | None) -> list[float]:
    """τ of each class [C]: the best for its own segments, with `pull` segments that are average; None: one for all."""
    taus = [tau for tau in counts if tau is not None]
    f1_GC = np.nan_to_num(np.stack([own.per_class()[_AT_50] for own in counts.values()]))
    mean_G1 = np.array([own.macro()[50] for own in counts.values()])[:, None]
    near_G1 = -1e-6 * np.abs(np.array(taus) - HALF)[:, None]  # of equals the nearest to .5
    if pull is None:
        return [taus[int((np.nan_to_num(mean_G1) + near_G1).argmax())]] * f1_GC.shape[1]
    truth_C = next(iter(counts.values())).truth_C
    value_GC = (truth_C * f1_GC + pull * np.nan_to_num(mean_G1)) / (truth_C + pull) + near_G1
    return [taus[i] for i in value_GC.argmax(0)]


def _at(counts: ByTau, taus_C: Sequence[float]) -> SegmentCounts:
    """The counts of each class at its own τ."""
    at = [(counts[tau], c) for c, tau in enumerate(taus_C)]
    return SegmentCounts(
        np.stack([own.hits_KC[:, c] for own, c in at], 1),
        np.array([own.predicted_C[c] for own, c in at]),
        np.array([own.truth_C[c] for own, c in at]),
    )


def counts_by_tau(
    persons: Sequence[HeadScores], readout: ReadOut, grid: Sequence[float | None] = GRID
) -> dict[float | None, SegmentCounts]:
    """Segments of all persons at every τ of the grid, whatever τ the read-out has."""
    smooth = [readout.smooth_scores(person.heads) for person in persons]
    frames = [own.present(scores_TC) for own, scores_TC in zip(persons, smooth, strict=True)]
    labels_NC = np.concatenate([own.labels_NC for own in frames])
    breaks_N = np.concatenate([own.breaks_N for own in frames])
    read = [
        [sets_TC[own.valid] for sets_TC in readout.label_sets(scores_TC, grid)]
        for own, scores_TC in zip(persons, smooth, strict=True)
    ]
    return {
        tau: SegmentCounts.of(np.concatenate(sets), labels_NC, breaks_N)
        for tau, sets in zip(grid, zip(*read, strict=True), strict=True)
    }


def _sum(parts: Sequence[ByTau]) -> dict[float | None, SegmentCounts]:
    return {tau: _total([part[tau] for part in parts]) for tau in parts[0]}


def _total(parts: Sequence[SegmentCounts]) -> SegmentCounts:
    return sum(parts[1:], start=parts[0])
