"""One person's movie with scores and truth, checked: what every metric takes.

In: arrays over T frames and C classes. Out: `Video`, and the N of its T frames that count as `Frames`.
Frames marked N/A (valid is False) are cut out here, so that whatever stands there can't matter further on.
Which frames are N/A, and where scores come from, are left to the caller.

Shapes: T frames, N frames that count, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.floating]


def label_sets(scores_NC: Floats, tau: float | None) -> Bools:
    """Scores as label sets [N, C]: classes of at least τ, or, where τ is None, the best class alone (ties: lowest)."""
    if tau is not None:
        return scores_NC >= float(tau)  # unlike numpy's, compared in the scores' own precision
    sets_NC = np.zeros(scores_NC.shape, dtype=bool)
    if scores_NC.size:
        np.put_along_axis(sets_NC, scores_NC.argmax(axis=1)[:, None], True, axis=1)
    return sets_NC


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames that count, side by side; a break is where a frame's left neighbour isn't the one in the movie."""

    scores_NC: Floats
    labels_NC: Bools
    breaks_N: Bools  # the first is always True


@dataclass(frozen=True, eq=False)
class Video:
    """Scores and truth of one person in one movie; raises `InputError`, naming the video, if they don't fit.

    Args:
        scores: [T, C] float, finite on valid frames; meant as probabilities, since τ may cut them.
        labels: [T, C] bool; a row may be empty (nothing that the vocabulary names) or hold several classes.
        valid: [T] bool; False where the person is marked N/A.
        name: what errors call this video.
    """

    scores: Floats
    labels: Bools
    valid: Bools
    name: str

    def __post_init__(self) -> None:
        problems = [*self._shape_problems(), *self._type_problems()] or self._value_problems()
        if problems:
            raise InputError(problems)

    @property
    def classes(self) -> int:
        return self.scores.shape[1]

    def present(self) -> Frames:
        """The valid frames."""
        return self._cut(self.valid)

    def labelled(self) -> Frames:
        """The valid frames with at least one label."""
        return self._cut(self.valid & self.labels.any(axis=1))

    def _cut(self, keep_T: Bools) -> Frames:
        kept = np.flatnonzero(keep_T)
        return Frames(self.scores[kept], self.labels[kept], np.diff(kept, prepend=-2) != 1)

    def _shape_problems(self) -> list[Problem]:
        shape = self.scores.shape
        if len(shape) != 2 or shape[1] == 0:
            return [self._problem("scores", shape, "the shape [frames, classes], with at least one class")]
        problems = []
        if self.labels.shape != shape:
            problems.append(self._problem("labels", self.labels.shape, f"the shape of scores, {shape}"))
        if self.valid.shape != shape[:1]:
            problems.append(self._problem("valid", self.valid.shape, f"one entry per frame, {shape[:1]}"))
        return problems

    def _type_problems(self) -> list[Problem]:
        kinds = {"scores": np.floating, "labels": np.bool_, "valid": np.bool_}
        return [
            self._problem(column, str(getattr(self, column).dtype), f"dtype {kind.__name__.rstrip('_')}")
            for column, kind in kinds.items()
            if not np.issubdtype(getattr(self, column).dtype, kind)
        ]

    def _value_problems(self) -> list[Problem]:
        bad = np.argwhere(~np.isfinite(self.scores) & self.valid[:, None])
        if not len(bad):
            return []
        frame, label = map(int, bad[0])
        where = f"finite scores on valid frames; frame {frame}, class {label} is the first of {len(bad)}"
        return [self._problem("scores", float(self.scores[frame, label]), where)]

    def _problem(self, column: str, value: object, expected: str) -> Problem:
        return Problem(self.name, expected, column=column, value=value)
