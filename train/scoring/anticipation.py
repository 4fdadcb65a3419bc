"""Anticipation: what a run's model says of frames that it has not seen, written for movies.

In: a run whose model is an `Anticipator`. Out: anticipated.csv, segments of everyone for the time after what is there.

Shapes: T frames of a video, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.csvfile import write_rows
from rhas.train.config import TrainConfig
from rhas.train.data import Batch, SampleSet, collate
from rhas.train.data.generators import Generators
from rhas.train.data.samples import OpenShards
from rhas.train.data.windows import Window
from rhas.train.device import autocast
from rhas.train.metrics import label_sets
from rhas.train.metrics.segments import runs_of
from rhas.train.models.segmenter import Anticipator
from rhas.train.runs.run import Run, check_extraction, open_run
from rhas.train.scoring.postprocess import postprocess
from rhas.train.scoring.prediction import COLUMNS, Segment, read_clips

Floats = NDArray[np.float32]


def anticipate_run(
    run: Path, features: Path, out: Path, seconds: float, device: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Segment]:  # fmt: skip
    """Segments of everyone in `features` for the next `seconds` after their last frame; writes anticipated.csv.

    What is seen are the last `data.window` frames of each. Raises InputError for a model that doesn't anticipate.
    """
    if not 0 < seconds < 86_400:
        raise InputError(Problem("--anticipate", "seconds above 0, below a day", value=seconds))
    opened = open_run(run, device, overrides)
    model = anticipator(opened)
    check_extraction(features, opened)
    windows = []
    for clip in read_clips(opened, features):
        end = clip.first + len(clip.status)
        windows.append(Window(clip, max(clip.first, end - opened.config.data.window), end))
    samples = SampleSet(windows, opened.vocabulary, OpenShards(), config=opened.config.data)
    segments: list[Segment] = []
    for index, window in enumerate(samples.windows):
        seen = len(window.time_s)
        frame_s = float(np.median(np.diff(window.time_s))) if seen > 1 else 1.0
        ahead = max(1, round(seconds / frame_s))
        scores_UC = look_ahead(model, collate([samples[index]]), seen, seen + ahead, opened.config)[seen:]
        end_s = float(window.time_s[-1]) + frame_s
        sets_UC = label_sets(scores_UC, opened.validation.tau)
        for c, action in enumerate(opened.vocabulary.actions):
            for start, stop in runs_of(sets_UC[:, c]):
                times = end_s + start * frame_s, end_s + stop * frame_s
                mean = float(scores_UC[start:stop, c].mean())
                segments.append(Segment(*window.place[:2], action, *times, mean))
    segments.sort(key=lambda segment: (segment.movie_id, segment.person_id, segment.start_s, segment.action))
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "anticipated.csv", COLUMNS, segments)
    return segments


def anticipator(run: Run) -> Anticipator:
    """The run's model, in eval mode. Raises InputError for one that doesn't anticipate."""
    if not isinstance(run.model, Anticipator):
        expected = "a run of a model that anticipates, such as actfusion or futr"
        raise InputError(Problem(run.folder.root, expected, value=run.config.model))
    return run.model.eval()


def look_ahead(model: Anticipator, batch: Batch, seen: int, total: int, config: TrainConfig) -> Floats:
    """Scores [total, C] of a batch's only video, of which the first `seen` frames are shown.

    As when scoring what is there: the mean of a run over every frame offset, from the same noise, then post-processing.
    """
    rate, device = config.data.sample_rate, next(model.parameters()).device
    first = batch.first(seen)
    blocks = -(-total // rate)
    sums_CU = torch.zeros(batch.labels_BCT.shape[1], blocks)
    runs_U = torch.zeros(blocks)
    for offset in range(min(rate, seen)):
        shown = first.subsampled(rate, [offset])
        frames = -(-(total - offset) // rate)
        generators = shown.generators(device, config.seed, "anticipate", seen, total).each
        with torch.no_grad(), autocast(device, config.precision):
            scores_BCU = model.anticipate(shown.to(device), [frames], Generators([frames], generators))
        sums_CU[:, :frames] += scores_BCU[0].float().cpu()
        runs_U[:frames] += 1
    scores_UC = postprocess(np.ascontiguousarray((sums_CU / runs_U).T.numpy()), config.postprocess)
    return np.ascontiguousarray(scores_UC.repeat(rate, axis=0)[:total])
