"""A picture of what a shard holds of one movie: frames with boxes, statuses, labels and features over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rhas.extract.decode.process import DecodeError
from rhas.extract.decode.shown import shown_frames
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader, PersonSeries, Shard
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval, PersonKey, load_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THUMBNAILS = 6
COLUMNS = 600  # features are averaged down to so many columns
DIMENSIONS = 48  # feature dimensions shown
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
    """Draws all persons of a movie into `png`. Raises InputError for a movie that has no shard."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    reader = FeaturesReader(features)
    if movie_id not in reader.movie_ids:
        known = ", ".join(reader.movie_ids[:20]) or "a movie; there is no shard yet"
        raise InputError(Problem(features, f"one of {known}", column="movie", value=movie_id))
    with reader.shard(movie_id) as shard:
        persons = [shard.person(person_id) for person_id in shard.person_ids]
        labels = _labels(reader.folder)
        heights = [h for _ in persons for h in (3.0, 0.25, 0.9, 1.3, 1.3)]
        figure = plt.figure(figsize=(13, 1 + 0.75 * sum(heights)), layout="constrained")
        figure.suptitle(
            f"{movie_id}: {len(persons[0])} samples, {persons[0].time_s[-1]:.1f} s", x=0.01, ha="left"
        )
        rows = figure.subfigures(len(persons), 1, squeeze=False)[:, 0]
        for row, series in zip(rows, persons, strict=True):
            row.suptitle(f"{series.person_id}: “{series.reference}”", x=0.01, ha="left")
            grid = row.add_gridspec(5, THUMBNAILS, height_ratios=heights[:5])
            times = [row.add_subplot(grid[line, :]) for line in range(1, 5)]
            _draw_frames([row.add_subplot(grid[0, i]) for i in range(THUMBNAILS)], shard, series)
            _draw_status(times[0], series)
            _draw_labels(times[1], series, labels.get((movie_id, series.person_id), ()))
            _draw_features(times[2], series, "holistic")
            _draw_features(times[3], series, "partial")
            times[2].set_xticks([])
            times[3].set_xlabel("seconds")
        shown = [status for status in STATUS_COLOURS if status != FrameStatus.OUTSIDE]
        figure.legend(
            handles=[Patch(color=STATUS_COLOURS[status], label=status.name.lower()) for status in shown],
            loc="upper right", ncols=len(STATUS_COLOURS), frameon=False,
        )  # fmt: skip
        figure.savefig(png, dpi=80)
        plt.close(figure)


def _labels(folder: FeaturesFolder) -> Mapping[PersonKey, Sequence[Interval]]:
    return load_labels(folder.labels, None, None).intervals if folder.labels.exists() else {}


def _draw_frames(axes: list[Axes], shard: Shard, series: PersonSeries) -> None:
    """Frames at even distances, with the person's box where there is one."""
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
        axis.set_title(f"{series.time_s[sample]:.1f} s", fontsize=8)
        axis.imshow(frames.pixels[at] if frames and frames.ok[at] else np.full((*size, 3), 235, np.uint8))
        x1, y1, x2, y2 = series.box[sample] * np.array([size[1], size[0], size[1], size[0]])
        if np.isfinite(x1):
            colour = STATUS_COLOURS[FrameStatus(int(series.status[sample]))]
            axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, linewidth=2)


def _draw_status(axis: Axes, series: PersonSeries) -> None:
    from matplotlib.colors import ListedColormap

    colours = ListedColormap([STATUS_COLOURS[s] for s in FrameStatus])
    axis.imshow(series.status[None], aspect="auto", cmap=colours, vmin=0, vmax=len(FrameStatus) - 1,
                interpolation="nearest", extent=(0, series.time_s[-1], 0, 1))  # fmt: skip
    axis.set_yticks([0.5], ["status"])
    axis.set_xticks([])


def _draw_labels(axis: Axes, series: PersonSeries, intervals: Sequence[Interval]) -> None:
    names = sorted({interval.action for interval in intervals})
    for interval in intervals:
        axis.barh(names.index(interval.action), interval.end_s - interval.start_s, left=interval.start_s, height=0.8,
                  color="#5b7db1")  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.set_xlim(0, series.time_s[-1])
    axis.set_xticks([])


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
