"""`rhas ravar`: clips of a table to tokens, systems trained and measured on them, and all of it in a made world."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from rhas.extract.clips.config import ClipConfig
from rhas.extract.clips.extracting import Extracted, extract_clips
from rhas.extract.config import load_config
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.boxes import load_boxes
from rhas.manifests.tables.clips import Clip, write_clips
from rhas.manifests.tables.inputs import Inputs, load_inputs
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import ABSENT, write_vocabulary
from rhas.pipeline.views.display import make_console
from rhas.pipeline.views.telling import quiet, tell
from rhas.pipeline.world.making import make_world
from rhas.pipeline.world.writing import World
from rhas.train.clips.data import load_clip_data
from rhas.train.clips.fitting import train_clips
from rhas.train.clips.measuring import evaluate_clips
from rhas.train.clips.table import clip_config, write_table
from rhas.train.device import chosen_device
from rhas.train.metrics.clips import ClipScores

SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}  # of the movies, where the manifest has no splits
WORLD_CATEGORIES = ("man", "woman")  # what the small detector of preset mini can read


def clips_from_labels(
    movies: Path, labels: Path, boxes: Path, actions: Path | None, out: Path, every_s: float
) -> str:
    """Writes OUT/clips.csv and OUT/actions.csv: everyone every so many seconds who does something, where a box says
    where they are; returns a line that says what is in it."""
    inputs = load_inputs(movies, labels, actions)
    if every_s <= 0:
        raise InputError(Problem("--every", "more than 0 seconds", value=every_s))
    clips = list(_clips(inputs, boxes, every_s))
    lacking = [split for split in SPLITS if not any(clip.split == split for clip in clips)]
    if lacking:
        expected = "clips in each split: more movies, or others"
        raise InputError(Problem(movies, expected, value=f"none in {', '.join(lacking)}"))
    out.mkdir(parents=True, exist_ok=True)
    write_vocabulary(inputs.vocabulary, out / "actions.csv")
    write_clips(clips, out / "clips.csv")
    counts = ", ".join(f"{sum(clip.split == split for clip in clips)} {split}" for split in SPLITS)
    return f"{out}: {len(clips)} clips ({counts})"


def _clips(inputs: Inputs, boxes: Path, every_s: float) -> Iterator[Clip]:
    known, drawn = load_boxes(boxes), _drawn_splits([movie.movie_id for movie in inputs.manifest.movies])
    assert inputs.labels is not None  # a path was given
    for movie in inputs.manifest.movies:
        if not isinstance(movie.video, Path):
            expected = "the path of a movie on this machine: clips are read where they are"
            raise InputError(Problem(inputs.manifest.path, expected, column="video", value=str(movie.video)))
        for person in movie.persons:
            tracklet = known.get(person.key)
            if tracklet is None:
                continue
            first_s, last_s = max(person.start_s, float(tracklet.time_s[0])), float(tracklet.time_s[-1])
            times_s = (
                np.arange(np.ceil(first_s / every_s), np.floor(min(last_s, person.end_s) / every_s) + 1)
                * every_s
            )
            for time_s, corners in zip(times_s.tolist(), tracklet.at(times_s).tolist(), strict=True):
                own = inputs.labels.intervals.get(person.key, ())
                doing = {i.action for i in own if i.start_s <= time_s < i.end_s}
                if not doing or ABSENT in doing or not np.isfinite(corners).all() or time_s >= person.end_s:
                    continue
                x1, y1, x2, y2 = corners
                yield Clip(
                    movie.movie_id, movie.video, person.person_id, time_s, person.reference,
                    person.split or drawn[movie.movie_id], (x1, y1, x2, y2),
                    tuple(sorted(doing, key=inputs.vocabulary.index)),
                )  # fmt: skip


def _drawn_splits(movie_ids: Sequence[str]) -> dict[str, str]:
    """Whole movies, drawn once and for all; each split has one as long as there are enough."""
    order = sorted(movie_ids)
    random.Random(0).shuffle(order)
    val, test = (max(1, round(SHARES[split] * len(order))) for split in ("val", "test"))
    sides = ["val"] * val + ["test"] * test + ["train"] * len(order)
    return dict(zip(order, sides, strict=False))


def extract_tokens(
    table: Path, actions: Path, out: Path, preset: str, overrides: Sequence[str], clips: ClipConfig, device: str | None
) -> Extracted:  # fmt: skip
    """Shows how it goes; returns what came of it."""
    config = load_config(preset, overrides)
    with Progress(console=make_console(), disable=quiet()) as progress:
        task = progress.add_task("clips", total=None)
        return extract_clips(
            table, actions, out, config, clips, chosen_device(device),
            lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip


def train_run(features: Path, out: Path, overrides: Sequence[str], device: str | None) -> str:
    """Trains, showing how it goes; returns a line that says what the best epoch is worth."""
    console, config = make_console(), clip_config(overrides)
    data = load_clip_data(features)
    if data.lost:
        tell(console, f"left out: {data.lost} clips that could not be extracted")

    def told(epoch: int, scores: ClipScores) -> None:
        tell(console, f"epoch {epoch}: validation macro mAP {scores.mAP:.1f}, mIoU {scores.mIoU:.1f}")

    best = train_clips(features, data, out, config, chosen_device(device), told)
    return f"{out}: best validation macro mAP {best.mAP:.1f} (weighted {best.weighted_mAP:.1f}), mIoU {best.mIoU:.1f}"


def evaluate_run(run: Path, split: str, device: str | None) -> str:
    """The table, as Markdown."""
    evaluate_clips(run, split, chosen_device(device))
    return (run / f"ravar-{split}.md").read_text(encoding="utf-8")


def table_of(
    features: Path,
    out: Path,
    systems: Sequence[str],
    seeds: int,
    overrides: Sequence[str],
    device: str | None,
) -> str:
    """The table, as Markdown."""
    console = make_console()
    write_table(
        features, load_clip_data(features), out, systems, seeds, overrides, chosen_device(device),
        lambda line: tell(console, line),
    )  # fmt: skip
    return (out / "table.md").read_text(encoding="utf-8")


def run_world(
    out: Path, world: World, every_s: float, systems: Sequence[str], seeds: int, overrides: Sequence[str],
    device: str | None,
) -> str:  # fmt: skip
    """A made world, its clips, their tokens and the table of systems; what is there of them is left alone."""
    manifest = make_world(out / "movies", world)
    folder = manifest.parent
    line = clips_from_labels(
        manifest, folder / "labels.csv", folder / "boxes.csv", folder / "actions.csv", out / "clips", every_s
    )
    tell(make_console(), line)
    clips = ClipConfig(categories=WORLD_CATEGORIES, detections=8)
    extract_tokens(
        out / "clips" / "clips.csv", out / "clips" / "actions.csv", out / "tokens", "mini", (), clips, device
    )
    return table_of(out / "tokens", out / "table", systems, seeds, overrides, device)
