"""A run in a program of one's own: `rhas.load_run`, which also opens what `rhas export` made.

In: arrays of features, from the first frame in which the person is promised. Out: scores, those that `rhas predict`
gives for the same features and name.

Shapes: T frames, F feature size, C classes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import Stamp
from rhas.manifests.shards.status import FrameStatus, streams_of
from rhas.train.data import SampleSet
from rhas.train.data.samples import OpenShards
from rhas.train.data.windows import Clip, cut
from rhas.train.runs.run import Run, open_run, read_json
from rhas.train.scoring.inference import read_persons

Floats = NDArray[np.float32]


class LoadedRun(Run):
    """A run with its best weights: `model`, `config`, `actions`, `metrics`, and `predict`."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What the columns of scores stand for."""
        return self.vocabulary.actions

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds: all that was measured, by split."""
        return read_json(self.folder.metrics) if self.folder.metrics.is_file() else {}

    def predict(
        self, holistic: ArrayLike, partial: ArrayLike | None = None, name: str = "movie/person",
        boxes: ArrayLike | None = None, sentence: ArrayLike | None = None,
    ) -> Floats:  # fmt: skip
        """Scores [T, C] of one person, from features [T, F] of whole frames and of that person.

        A row of NaN says that there is no feature; without `partial` there is none of the person, and a run on features
        of persons alone takes any `holistic` of that shape. `name` is what noise
        is drawn by: movie and person, as in a features folder. `boxes` [T, 5], for a run that hears of them: x1 y1 x2
        y2 as shares of the frame and how sure, as shards hold them. For a run that takes all query tokens features are
        [T, tokens, F], and `sentence` [F] its vector. Raises InputError for arrays that don't fit.
        """
        whole = self._checked(holistic, "holistic")
        if not len(whole):
            raise InputError(Problem("holistic", "at least one frame", value=whole.shape))
        own = np.full_like(whole, np.nan) if partial is None else self._checked(partial, "partial")
        if own.shape != whole.shape:
            raise InputError(Problem("partial", f"the shape of holistic, {whole.shape}", value=own.shape))
        has_whole_T, has_own_T = (~np.isnan(rows).any(axis=1) for rows in (whole, own))
        streams = tuple(streams_of(self.data.get("extraction")))
        if (alone_T := has_own_T & ~has_whole_T).any() and "holistic" in streams:
            expected = "no feature of the person where the frame has none"
            raise InputError(Problem("partial", expected, value=f"one in frame {int(alone_T.argmax())}"))
        status_T = np.select(
            [has_own_T, has_whole_T],
            [np.uint8(FrameStatus.IMPORTED), np.uint8(FrameStatus.MISSING)],
            np.uint8(FrameStatus.FAILED),
        )
        movie_id, _, person_id = name.partition("/")
        clip = Clip(
            movie_id=movie_id, person_id=person_id, reference="", split=None, movie=movie_id, shard=Path(name),
            first=0, time_s=np.arange(len(whole), dtype=float), status=status_T, intervals=(),
        )  # fmt: skip
        data = self.config.data
        windows, _ = cut([clip], data.window, overlap=data.overlap_in(None))
        used, rows_T5 = data.boxes, np.full((len(whole), 5), np.nan, np.float32)
        if boxes is not None:
            rows_T5 = np.asarray(boxes, np.float32)
        if rows_T5.shape != (len(whole), 5) or (boxes is None and (used.channels or used.least_sure > 0)):
            expected = f"the shape [{len(whole)}, 5], since the run was trained with data.boxes"
            raise InputError(Problem("boxes", expected, value=None if boxes is None else rows_T5.shape))
        vector = None if sentence is None else np.asarray(sentence, np.float32)
        size = self.data["feature_size"]
        if data.sentence and (vector is None or vector.shape != (size,) or not np.isfinite(vector).all()):
            expected = f"the sentence's vector, {size} finite numbers, which the model takes"
            raise InputError(Problem("sentence", expected, value=None if vector is None else vector.shape))
        arrays = _Arrays(
            holistic=whole, partial=own, status=status_T, box=rows_T5[:, :4], sure=rows_T5[:, 4],
            text_embedding=vector, streams=streams,
        )  # fmt: skip
        samples = SampleSet(windows, self.vocabulary, arrays, config=data)
        here = dataclasses.replace(self, config=self.config.replace(workers=0))
        (series,) = read_persons(here, samples)
        return series.scores

    def _checked(self, features: ArrayLike, what: str) -> Floats:
        rows = np.asarray(features, dtype=np.float32)
        size, tokens = self.data["feature_size"], self.data.get("tokens")
        if tokens is not None:
            if rows.shape[1:] != (tokens, size):
                raise InputError(Problem(what, f"the shape [frames, {tokens}, {size}]", value=rows.shape))
            rows = rows.reshape(len(rows), -1)
        else:
            rows = rows.mean(axis=1) if rows.ndim == 3 else rows  # over query tokens, as in training
            if rows.ndim != 2 or rows.shape[1] != size:
                raise InputError(Problem(what, f"the shape [frames, {size}]", value=rows.shape))
        broken_T = ~np.isfinite(rows).all(axis=1) & ~np.isnan(rows).all(axis=1)
        if broken_T.any():
            expected = "rows of finite numbers, or of NaN alone where there is no feature"
            raise InputError(
                Problem(what, expected, value=f"others, first in frame {int(broken_T.argmax())}")
            )
        return rows


class _Arrays(OpenShards):
    """One person, whose features are in memory."""

    def __init__(self, **series: Any):
        super().__init__()
        self._series = SimpleNamespace(**series)

    def person(self, path: Path, person_id: str) -> Any:
        return self._series

    def stamp(self, path: Path) -> Stamp:
        return 0, 0, 0


def load_run(folder: Path, device: str | None = None) -> LoadedRun:
    """The run in a folder, or what was exported from one. Raises InputError if there is none."""
    return LoadedRun(**vars(open_run(folder, device)))
