"""Puts a report together: measures what isn't measured yet, chooses whom to show, draws, writes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rhas.extract.decode.process import DecodeError
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import place
from rhas.manifests.shards.mirror import features_here
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.report.movie import LONGEST_S, Shown, write_movie
from rhas.pipeline.report.page import Page, render
from rhas.train.evaluation.evaluation import evaluate_run, read_metrics
from rhas.train.evaluation.results import OURS
from rhas.train.runs.run import Run, load_run_data, open_run
from rhas.train.scoring.inference import Series, read_persons
from rhas.train.scoring.timeline import draw_timeline

TIMELINES = 6


def write_report(
    run: Path,
    out: Path,
    features: Path | None = None,
    split: str = "test",
    movie: str | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Writes the folder and returns the page's path.

    `features` is where the run's data lies, if it was moved; `movie` the movie to show. Raises InputError for a run or
    a movie that isn't there.
    """
    opened = open_run(run)
    if split not in read_metrics(opened.folder):
        say(f"measuring the {split} split, which wasn't yet")
        evaluate_run(run, split, features)
    dataset = load_run_data(opened, features)
    say("predicting")
    persons = list(read_persons(opened, dataset.splits[split]))
    folder = features or features_here(place(opened.data["features"]))
    out.mkdir(parents=True, exist_ok=True)
    for name in ("results.md", "results.csv"):
        shutil.copyfile(run / name, out / name)
    say("timelines")
    timelines = _timelines(opened, persons, out)
    say("the movie")
    video, text = _movie(opened, _chosen(opened, persons, movie), folder, out / "movie.mp4")
    page = Page(
        title="Who does what, frame by frame",
        about=_about(opened, persons, split),
        results=_results(out / "results.csv", split, opened.validation.tau),
        movie=video, movie_text=text, timelines=timelines, facts=_facts(opened, persons, split, run),
    )  # fmt: skip
    write_text_atomically(out / "index.html", render(page))
    return out / "index.html"


def _timelines(run: Run, persons: Sequence[Series], out: Path) -> list[tuple[str, Path]]:
    drawn = []
    chosen = np.unique(np.linspace(0, len(persons) - 1, min(TIMELINES, len(persons))).round().astype(int))
    for series in (persons[i] for i in chosen):
        clip = series.clip
        png = out / "timelines" / f"{series.name}.png"
        draw_timeline(png, series, run.validation.tau, run.vocabulary.actions, series.truth(run.vocabulary))
        drawn.append((f"“{clip.reference}” in {clip.movie_id}", png))
    return drawn


def _chosen(run: Run, persons: Sequence[Series], movie: str | None) -> Series:
    """The person, of a movie or of all, in most of whose frames the predicted set of actions is the true one."""
    own = [series for series in persons if movie in (None, series.clip.movie_id)]
    if not own:
        known = ", ".join(sorted({series.clip.movie_id for series in persons}))
        raise InputError(Problem("--movie", f"a movie of the split: {known}", value=movie))

    def right(series: Series) -> float:
        truth_TC, valid_T = series.truth(run.vocabulary)
        same_T = (series.predicted(run.validation.tau) == truth_TC).all(axis=1)
        return float(same_T[valid_T].mean()) if valid_T.any() else -1.0

    return max(own, key=right)


def _movie(run: Run, series: Series, features: Path, path: Path) -> tuple[Path | None, str]:
    """The movie, or None, and what to say about it."""
    truth_TC, valid_T = series.truth(run.vocabulary)
    predicted_TC = series.predicted(run.validation.tau)
    rows = np.flatnonzero((truth_TC[valid_T].any(0)) | predicted_TC[valid_T].any(0))
    shown = Shown(
        tuple(run.vocabulary.actions[row] for row in rows), truth_TC[:, rows] & valid_T[:, None],
        predicted_TC[:, rows], valid_T,
    )  # fmt: skip
    clip = series.clip
    with FeaturesReader(features).shard(clip.movie_id) as shard:
        box_T4 = shard.person(clip.person_id).box[clip.first : clip.first + len(series.scores)]
        try:
            seconds = write_movie(path, shard, series, shown, box_T4)
        except DecodeError as error:
            path.unlink(missing_ok=True)
            return None, f"There is no movie to show: {shard.video} can't be read any more ({error})."
    cut = f", its first {LONGEST_S:g} seconds" if seconds > LONGEST_S - 1 else ""
    return path, (
        f"{clip.movie_id}{cut}: “{clip.reference}”, of all persons of the split the one who is labelled right in "
        "most frames. The box is dashed where the detector alone isn't sure of it. A tick: the action is true and "
        "predicted; a circle: true, but missed; a cross: predicted, but not true."
    )


def _results(table: Path, split: str, tau: float | None) -> list[dict[str, str]]:
    """The model's row and the baselines', at the chosen threshold."""
    rows = [
        row
        for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())
        if row["split"] == split and row["evaluator"] == OURS
    ]
    chosen: dict[str, dict[str, str]] = {}
    for row in rows:  # the chosen threshold comes first where there are two
        chosen.setdefault(row["system"], row)
    return list(chosen.values())


def _about(run: Run, persons: Sequence[Series], split: str) -> str:
    movies, frames = len({series.clip.movie_id for series in persons}), sum(len(s.scores) for s in persons)
    return (
        f"A sentence says who is meant; {run.config.model} says what that person does in every frame, several things "
        f"at a time. Shown is the {split} split of protocol {run.config.data.split}: {len(persons)} persons of "
        f"{movies} movies, {frames} frames. How scores are read ({run.validation.readout.text()}) and "
        "the weights were chosen on the validation split; the baselines are measured on the same frames."
    )


def _facts(run: Run, persons: Sequence[Series], split: str, folder: Path) -> dict[str, str]:
    statuses = np.concatenate([series.clip.status for series in persons])
    promised = statuses[statuses != FrameStatus.OUTSIDE]
    shares = [
        f"{100 * float((promised == status).mean()):.1f} % {status.name.lower()}"
        for status in FrameStatus
        if (promised == status).any()
    ]
    extraction, models = run.data["extraction"], run.data["models"]
    detector, encoder = extraction["detector"], extraction["encoder"]
    return {
        "model": f"{run.config.model}, seed {run.config.seed}, weights of epoch {run.validation.epoch} ({folder})",
        "split": f"{run.config.data.split}, seed {run.config.data.seed}: "
        + ", ".join(f"{len(samples)} samples in {name}" for name, samples in run.data["samples"].items()),
        "frames": f"{len(promised)} of the {split} split: {', '.join(shares)}",
        "detector": f"GroundingDINO {detector['weights']}, threshold {detector['box_threshold']}",
        "encoder": f"{encoder['kind']} {encoder['weights']}, {run.data['feature_size']} numbers a frame, at "
        f"{extraction['decode']['fps'] or 'each movie’s own'} frames a second",
        "weights": ", ".join(f"{name} {value}" for name, value in models.items() if isinstance(value, str)),
    }
