"""Prediction: a run's segments and scores for everyone in a features folder, labelled or not.

out/
  segments.csv            movie_id,person_id,action,start_s,end_s,score; score is the segment's mean. Where the person
                          was looked for and not found stands N/A, without a score, and no action
  scores/MOVIE/PERSON.safetensors   scores [T, C], time_s [T], promised [T]; actions and τ in the header
  timelines/MOVIE/PERSON.png        with the truth above, where there are labels

In: a run, and features of the same kind as it was trained on. Out: the above; windows of one person are put
together again, so that every promised frame is there once.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import Interval, load_labels
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import ABSENT
from rhas.train.data import SampleSet
from rhas.train.data.clips import is_grounded
from rhas.train.data.samples import OpenShards
from rhas.train.data.windows import Clip, Window, cut
from rhas.train.metrics.segments import runs_of
from rhas.train.runs.building import check_streams
from rhas.train.runs.checkpoint import write_tensors
from rhas.train.runs.run import Run, check_extraction, open_run
from rhas.train.scoring.inference import Series, read_persons
from rhas.train.scoring.timeline import draw_timeline, frame_ends

COLUMNS = ("movie_id", "person_id", "action", "start_s", "end_s", "score")


class Segment(NamedTuple):
    """A row of segments.csv: someone does something during [start_s, end_s)."""

    movie_id: str
    person_id: str
    action: str
    start_s: float
    end_s: float
    score: float | None  # none for N/A


def predict_run(
    run: Path, features: Path, out: Path, split: str | None = None, device: str | None = None,
    progress: Callable[[int], None] | None = None, overrides: Sequence[str] = (),
) -> list[Segment]:  # fmt: skip
    """Segments of everyone in `features`, or of the run's samples in one split; writes `out`.

    `progress` gets the number of persons done. `overrides`: see `open_run`. Raises InputError for features
    that don't fit the run.
    """
    opened = open_run(run, device, overrides)
    tau, actions = opened.validation.tau, opened.vocabulary.actions
    segments: list[Segment] = []
    for done, series in enumerate(predicted_series(opened, features, split), start=1):
        segments += segments_of(series, tau, actions)
        _write_scores(out / "scores", series, tau, actions)
        png = out / "timelines" / f"{series.name}.png"
        truth = series.truth(opened.vocabulary) if series.clip.intervals else None
        draw_timeline(png, series, tau, actions, truth)
        if progress:
            progress(done)
    write_rows(out / "segments.csv", COLUMNS, segments)
    return segments


def predicted_series(
    run: Run, features: Path, split: str | None = None, movies: Collection[str] | None = None
) -> Iterator[Series]:
    """The scores of everyone in `features`, or in a split of the run, or in some movies. Raises InputError."""
    check_extraction(features, run)
    windows = _windows(run, features, split, movies)
    # Nothing is learnt here, and there may be no labels to make targets from.
    samples = SampleSet(windows, run.vocabulary, OpenShards(), config=run.config.data)
    return read_persons(run, samples)


def segments_of(series: Series, tau: float | None, actions: tuple[str, ...]) -> Iterator[Segment]:
    """Maximal runs of each action at τ, by start, and of N/A, where the person wasn't found.

    As labels, they give the same frames back.
    """
    predicted_TC = series.predicted(tau) & ~series.absent[:, None]
    time_s, clip = series.clip.time_s, series.clip
    ends_s = frame_ends(time_s)
    found = [(start, c, stop) for c in range(len(actions)) for start, stop in runs_of(predicted_TC[:, c])]
    found += [(start, -1, stop) for start, stop in runs_of(series.absent)]
    for start, c, stop in sorted(found):
        if c < 0:
            times = float(time_s[start]), float(ends_s[stop - 1])
            yield Segment(clip.movie_id, clip.person_id, ABSENT, *times, None)
            continue
        yield Segment(
            clip.movie_id, clip.person_id, actions[c], float(time_s[start]), float(ends_s[stop - 1]),
            float(series.scores[start:stop, c].mean()),
        )  # fmt: skip


def _write_scores(folder: Path, series: Series, tau: float | None, actions: tuple[str, ...]) -> None:
    path = folder / f"{series.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "scores": torch.from_numpy(series.scores),
        "time_s": torch.from_numpy(np.ascontiguousarray(series.clip.time_s)),
        "promised": torch.from_numpy(series.promised),
    }
    write_tensors(path, tensors, {"actions": list(actions), "tau": tau})


def _windows(run: Run, features: Path, split: str | None, movies: Collection[str] | None) -> list[Window]:
    """Windows of everyone, none left out for being short, or those that were in a split of the run, or in movies."""
    data = run.config.data
    windows, _ = cut(read_clips(run, features), data.window, overlap=data.overlap_in(split))
    if split is not None:
        if split not in SPLITS:
            raise InputError(Problem("--split", f"one of {', '.join(SPLITS)}", value=split))
        own = set(run.data["samples"][split])
        windows = [window for window in windows if window.name in own]
    if movies is not None:
        windows = [window for window in windows if window.clip.movie_id in movies]
    if not windows:
        whose = (
            "someone who was promised in some frame"
            if split is None
            else f"a sample of the run's {split} split"
        )
        raise InputError(Problem(features, whose))
    return windows


def read_clips(run: Run, features: Path) -> list[Clip]:
    """Everyone who is promised in some frame; with labels, if there are any, of actions that the run knows."""
    reader = FeaturesReader(features)
    labels = reader.folder.labels
    intervals = load_labels(labels, None, None).intervals if labels.is_file() else {}
    record = read_config(reader.folder)
    grounded = is_grounded(record)
    check_streams(run.model, run.config, record["config"], reader.folder.config)
    clips: list[Clip] = []
    problems: list[Problem] = []
    for movie_id in reader.movie_ids:
        with reader.shard(movie_id) as shard:
            for person_id in shard.person_ids:
                own = _known(intervals.get((movie_id, person_id), ()), run)
                series = shard.person(person_id)
                size = series.holistic.shape[-1]
                if size != run.data["feature_size"]:
                    expected = (
                        f"features of size {run.data['feature_size']}, as {run.folder.root} was trained on"
                    )
                    problems.append(Problem(shard.path, expected, column=person_id, value=size))
                tokens = run.data.get("tokens")
                if tokens and series.holistic.shape[1:-1] != (tokens,):
                    expected = (
                        f"all {tokens} query tokens of every frame (encoder.tokens=all), as in training"
                    )
                    problems.append(
                        Problem(shard.path, expected, column=person_id, value=series.holistic.shape[1:])
                    )
                promised = np.flatnonzero(series.status != FrameStatus.OUTSIDE)
                if promised.size:
                    first, stop = int(promised[0]), int(promised[-1]) + 1
                    clips.append(
                        Clip(
                            movie_id=movie_id, person_id=person_id, reference=series.reference, split=series.split,
                            movie=movie_id, shard=shard.path, first=first, time_s=series.time_s[first:stop],
                            status=series.status[first:stop], intervals=own, grounded=grounded,
                        )
                    )  # fmt: skip
    if problems:
        raise InputError(problems)
    return clips


def _known(intervals: Sequence[Interval], run: Run) -> Sequence[Interval]:
    """Those of the actions that the run knows: they are only drawn."""
    known = tuple(i for i in intervals if i.action == ABSENT or i.action in run.vocabulary)
    return intervals if len(known) == len(intervals) else known  # in columns, if they are
