"""A picture of what a shard holds of one movie: frames with boxes, statuses, labels and features over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhas.extract.decode.process import DecodeError
from rhas.extract.decode.shown import shown_frames
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader, PersonSeries, Shard
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval, PersonKey, load_labels
from rhas.manifests.tables.vocabulary import ABSENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THUMBNAILS = 6
COLUMNS = 600  # features are averaged down to so many columns
DIMENSIONS = 48  # feature dimensions shown
LABEL_HEIGHT = 0.25  # of an action's row, in the figure's units of 0.75 inches
ABSENT_LOOK: dict[str, Any] = {"facecolor": "#e2dfd6", "edgecolor": "#8a8779", "hatch": "////"}
STATUS_COLOURS = {
    FrameStatus.OUTSIDE: "#ffffff",
    FrameStatus.DETECTED: "#4c9f70",
    FrameStatus.FOLLOWED: "#c9d36a",
    FrameStatus.MISSING: "#e8a33d",
    FrameStatus.UNDECODABLE: "#c0392b",
    FrameStatus.FAILED: "#6c1d45",
    FrameStatus.IMPORTED: "#5b8fb9",
    FrameStatus.DOUBTFUL: "#b08fc7",
    FrameStatus.TRACKED: "#7fb3a8",
}


def draw_movie(features: Path, movie_id: str, png: Path) -> None:
    """Draws all persons of a movie into `png`, or another kind of picture.

    Raises InputError for a movie that has no shard, and for a name that is no picture's.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.patches import Patch

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if png.suffix.lower().removeprefix(".") not in kinds:
        expected = f"a picture's name, with one of .{', .'.join(kinds)}"
        raise InputError(Problem("--out", expected, value=str(png)))
    reader = FeaturesReader(features)
    with reader.shard(movie_id) as shard:
        persons = [shard.person(person_id) for person_id in shard.person_ids]
        labels = _labels(reader.folder)
        own = [labels.get((movie_id, series.person_id), ()) for series in persons]
        heights = [[3.0, 0.25, _labels_height(intervals), 1.3, 1.3] for intervals in own]
        inches = [0.75 * sum(lines) + 0.9 for lines in heights]  # with the title, and between the parts
        figure = plt.figure(figsize=(13, 0.8 + sum(inches)), layout="constrained")
        seconds = f"{len(persons[0])} samples, {persons[0].time_s[-1]:.1f} s"
        figure.suptitle(
            f"{_short(movie_id)}: {len(persons)} persons, {seconds}", x=0.01, ha="left", parse_math=False
        )
        rows = figure.subfigures(len(persons), 1, squeeze=False, height_ratios=inches)[:, 0]
        for row, series, intervals, lines in zip(rows, persons, own, heights, strict=True):
            title = f"{series.person_id}: “{series.reference}”"
            row.suptitle(_short(title, 130), x=0.01, ha="left", parse_math=False)
            grid = row.add_gridspec(5, THUMBNAILS, height_ratios=lines)
            times = [row.add_subplot(grid[line, :]) for line in range(1, 5)]
            _draw_frames([row.add_subplot(grid[0, i]) for i in range(THUMBNAILS)], shard, series, intervals)
            _draw_status(times[0], series)
            _draw_labels(times[1], series, intervals)
            _draw_features(times[2], series, "holistic")
            _draw_features(times[3], series, "partial")
            times[2].set_xticks([])
            times[3].set_xlabel("seconds")
        shown = [status for status in STATUS_COLOURS if status != FrameStatus.OUTSIDE]
        handles = [Patch(color=STATUS_COLOURS[status], label=status.name.lower()) for status in shown]
        figure.legend(
            handles=[*handles, Patch(**ABSENT_LOOK, label="absent (N/A)")],
            loc="outside lower center", ncols=len(handles) + 1, frameon=False,
        )  # fmt: skip
        figure.savefig(png, dpi=80)
        plt.close(figure)


def _labels(folder: FeaturesFolder) -> Mapping[PersonKey, Sequence[Interval]]:
    return load_labels(folder.labels, None, None).intervals if folder.labels.exists() else {}


def _short(text: str, chars: int = 60) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _actions(intervals: Sequence[Interval]) -> list[str]:
    return sorted({interval.action for interval in intervals} - {ABSENT})


def _labels_height(intervals: Sequence[Interval]) -> float:
    """So that the names of actions stand below each other without touching."""
    return max(0.45, LABEL_HEIGHT * len(_actions(intervals)))


def _draw_frames(axes: list[Axes], shard: Shard, series: PersonSeries, intervals: Sequence[Interval]) -> None:
    """Frames at even distances, with the person's box where there is one, or why there is none."""
    source = shard.json("source")
    size = (max(1, source["decoded_height"]), max(1, source["decoded_width"]))  # 0: imported, nobody saw it
    samples = np.linspace(0, len(series) - 1, THUMBNAILS).round().astype(int)
    numbers, back = np.unique(series.source_frame[samples], return_inverse=True)
    try:
        frames = shown_frames(shard, numbers, size)
    except DecodeError:
        frames = None  # the movie has moved since; statuses and features are still worth drawing
    for axis, sample, at in zip(axes, samples, back, strict=True):
        axis.set_axis_off()
        time_s, status = float(series.time_s[sample]), FrameStatus(int(series.status[sample]))
        axis.imshow(frames.pixels[at] if frames and frames.ok[at] else np.full((*size, 3), 235, np.uint8))
        x1, y1, x2, y2 = series.box[sample] * np.array([size[1], size[0], size[1], size[0]])
        seen = bool(np.isfinite(x1))
        axis.set_title(f"{time_s:.1f} s{_why(intervals, time_s, status, seen)}", fontsize=8)
        if seen:
            # A box may reach beyond the frame, which stays as large as it is.
            sides = ([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1])
            axis.plot(*sides, color=STATUS_COLOURS[status], linewidth=2, scalex=False, scaley=False)


def _why(intervals: Sequence[Interval], time_s: float, status: FrameStatus, seen: bool) -> str:
    """What is to be said of a frame in which there may be no box."""
    if any(own.action == ABSENT and own.start_s <= time_s < own.end_s for own in intervals):
        return ": absent"
    if seen or status == FrameStatus.IMPORTED:
        return ""
    return ": not looked for" if status == FrameStatus.OUTSIDE else f": {status.name.lower()}"


def _draw_status(axis: Axes, series: PersonSeries) -> None:
    from matplotlib.colors import ListedColormap

    colours = ListedColormap([STATUS_COLOURS[s] for s in FrameStatus])
    axis.imshow(series.status[None], aspect="auto", cmap=colours, vmin=0, vmax=len(FrameStatus) - 1,
                interpolation="nearest", extent=(0, series.time_s[-1], 0, 1))  # fmt: skip
    axis.set_yticks([0.5], ["status"])
    axis.set_xticks([])


def _draw_labels(axis: Axes, series: PersonSeries, intervals: Sequence[Interval]) -> None:
    """A row for each action; absence is hatched over all of them, since whoever is away does nothing."""
    names = _actions(intervals)
    for interval in intervals:
        if interval.action == ABSENT:
            axis.axvspan(interval.start_s, interval.end_s, **ABSENT_LOOK, linewidth=0)
            continue
        axis.barh(names.index(interval.action), interval.end_s - interval.start_s, left=interval.start_s, height=0.8,
                  color="#5b7db1")  # fmt: skip
    axis.set_yticks(range(len(names)), [_short(name, 40) for name in names], fontsize=8, parse_math=False)
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.set_xlim(0, series.time_s[-1])
    axis.set_xticks([])
    if not names:
        said = "absent" if intervals else "no labels"
        axis.set_ylabel(said, rotation=0, ha="right", va="center", fontsize=8)


def _draw_features(axis: Axes, series: PersonSeries, stream: str) -> None:
    """The first feature dimensions over time, each standardised; blank where there is no feature."""
    step = max(1, len(series) // COLUMNS)
    values = np.array(getattr(series, stream)[::step], dtype=np.float32).reshape(
        len(series.time_s[::step]), -1
    )
    values = values[:, :DIMENSIONS]
    there = np.isfinite(values).all(axis=1)
    if there.any():
        values = (values - values[there].mean(axis=0)) / (values[there].std(axis=0) + 1e-6)
    axis.imshow(values.T, aspect="auto", cmap="RdBu", vmin=-2, vmax=2, interpolation="nearest",
                extent=(0, series.time_s[-1], 0, values.shape[1]))  # fmt: skip
    axis.set_yticks([values.shape[1] / 2], [stream])
