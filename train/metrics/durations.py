"""How long actions last and what follows what, learnt from the labels of the training split.

In: labels of training samples. Out: an `ActionPrior`, plain numbers that a run keeps with its read-out. What is done
with them is left to `decoding`.

A segment of a class lasts at least so many frames, and then ends at a rate that stays: a geometric distribution,
shifted. The least is what nine in ten segments exceed if their logarithms are normal, the rate is that of the mean;
both are drawn towards those of all classes together by as much as `PULL` segments weigh, so that a class with a few
of them, or none, has numbers as well. A segment that a sample's end, or a frame that doesn't count, cuts off counts
with what is seen of it.

Shapes: T frames of a sample, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.segments import runs
from rhas.train.metrics.video import Bools

Doubles = NDArray[np.float64]

PULL = 5.0  # segments
NARROWEST = 0.2  # spread of log d: a few segments that are alike by chance don't forbid others
TENTH = 1.2815515655446004  # spreads below the mean is where a tenth of a normal distribution ends
NEVER = 300.0  # as a log-probability: finite, so that sums of such can still be compared


@dataclass(frozen=True)
class ActionPrior:
    """What training labels say of segments; tuples are by class."""

    shortest: tuple[int, ...]
    """Frames that a segment lasts at least."""
    means: tuple[float, ...]
    """Frames that it lasts on average."""
    onsets: tuple[float, ...]
    """The probability that a class begins in a frame where it could: it wasn't there in the frame before."""
    begins: tuple[float, ...]
    """The share of samples in whose first frame it is."""
    follows: tuple[tuple[int, int, int], ...] = ()
    """(class, next class, how often)."""

    @classmethod
    def learnt(cls, labels: Iterable[tuple[Bools, Bools]]) -> ActionPrior:
        """From (labels [T, C], valid [T]) of each training sample. What follows what is read where a frame has one
        label.

        Raises InputError if nothing is labelled.
        """
        frames: list[list[int]] = []  # of each segment of each class
        follows: Counter[tuple[int, int]] = Counter()
        starts_C, could_C, first_C, samples = 0, 0, 0, 0
        for labels_TC, valid_T in labels:
            if not valid_T.any():
                continue
            on_TC = labels_TC & valid_T[:, None]
            frames = frames or [[] for _ in range(on_TC.shape[1])]
            found = runs(on_TC, np.zeros(len(valid_T), dtype=bool))  # what doesn't count is on nowhere
            for c, length in zip(found.classes_R, found.ends_R - found.starts_R, strict=True):
                frames[c].append(int(length))
            could_TC = ~on_TC[:-1] & (valid_T[:-1] & valid_T[1:])[:, None]
            starts_C = starts_C + (could_TC & on_TC[1:]).sum(0)
            could_C = could_C + could_TC.sum(0)
            first_C = first_C + on_TC[valid_T.argmax()]
            samples += 1
            one_T, best_T = on_TC.sum(1) == 1, on_TC.argmax(1)
            changes = np.flatnonzero((best_T[1:] != best_T[:-1]) & one_T[1:] & one_T[:-1])
            follows.update(zip(best_T[changes].tolist(), best_T[changes + 1].tolist(), strict=True))
        if not any(frames):
            raise InputError(Problem("training labels", "at least one labelled frame"))
        shortest_C, means_C = _lengths(frames)
        pooled = (float(np.sum(starts_C)) + 0.5) / (float(np.sum(could_C)) + 1)
        onsets_C = (np.asarray(starts_C) + PULL * pooled) / (np.asarray(could_C) + PULL)
        begins_C = (np.asarray(first_C) + 0.5) / (samples + 1)
        return cls(
            tuple(shortest_C.tolist()), tuple(means_C.tolist()), tuple(onsets_C.tolist()), tuple(begins_C.tolist()),
            tuple((c, after, count) for (c, after), count in sorted(follows.items())),
        )  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ActionPrior:
        """The inverse of `asdict`, from JSON."""
        given = {name: tuple(values) for name, values in record.items()}
        return cls(**{**given, "follows": tuple(tuple(pair) for pair in given["follows"])})

    def ends(self) -> tuple[Doubles, Doubles]:
        """Log-probabilities [C] that a segment which has lasted as long as it must ends, and that it goes on."""
        rates_C = (1 / (np.array(self.means) - self.shortest + 1)).clip(1e-9, 1 - 1e-6)
        return np.log(rates_C), np.log1p(-rates_C)

    def following(self) -> tuple[Doubles, Doubles]:
        """Log-probabilities of the first class [C], and of the class [C, C] after each; none follows itself.

        What follows a class is drawn towards what segments are of, by as much as `PULL` changes weigh.
        """
        counts_CC = np.zeros((len(self.means), len(self.means)))
        for c, after, count in self.follows:
            counts_CC[c, after] = count
        share_C = counts_CC.sum(0) + 0.5
        rates_CC = counts_CC + PULL * share_C / share_C.sum()
        np.fill_diagonal(rates_CC, 0)
        rates_CC /= rates_CC.sum(1, keepdims=True).clip(min=1e-300)  # 0 only where there is but one class
        begins_C = np.array(self.begins)
        return np.log(begins_C / begins_C.sum()), np.log(rates_CC.clip(min=np.exp(-NEVER)))


def _lengths(frames: list[list[int]]) -> tuple[NDArray[np.int64], Doubles]:
    """The least and the mean frames of a segment of each class [C]."""
    each = [np.array(own, dtype=float) for own in frames]
    every, counts_C = np.concatenate(each), np.array([len(own) for own in each], dtype=float)

    def drawn(sums_C: Doubles, of_all: float) -> Doubles:
        return (sums_C + PULL * of_all) / (counts_C + PULL)

    means_C = drawn(np.array([own.sum() for own in each]), every.mean())
    log_means_C = drawn(np.array([np.log(own).sum() for own in each]), np.log(every).mean())
    squares_C = np.array(
        [((np.log(own) - log) ** 2).sum() for own, log in zip(each, log_means_C, strict=True)]
    )
    spreads_C = np.sqrt(drawn(squares_C, squares_C.sum() / len(every))).clip(min=NARROWEST)
    shortest_C = np.floor(np.exp(log_means_C - TENTH * spreads_C)).clip(min=1)
    return np.minimum(shortest_C, np.floor(means_C)).astype(np.int64), means_C
