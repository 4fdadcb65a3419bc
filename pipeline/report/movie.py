"""A movie with one referred person's box, sentence, and true and predicted actions drawn in.

In: a `Series` of scores with its truth, and the shard that it came from. Out: H.264 in an MP4 file, in real time. Every
picture shows the box and the actions of the sample that it belongs to.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rhas.extract.decode.process import Frames
from rhas.extract.decode.shown import shown_frames
from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.status import FrameStatus
from rhas.train.scoring.inference import Series

LONGEST_S = 40.0
_WIDTH, _TITLE, _ROW, _LABELS = 640, 34, 18, 150  # pixels
_FASTEST = 30.0  # pictures a second; movies that have more are shown at the samples' rate
_INK, _PAPER, _QUIET = (30, 32, 38), (250, 249, 246), (214, 212, 205)
_TRUE, _PREDICTED = (91, 125, 177), (217, 130, 43)  # as in the timelines
_RIGHT, _WRONG = (0, 114, 178), (190, 70, 0)  # told apart by colour-blind people too; marks say it as well


@dataclass(frozen=True)
class Shown:
    """Which actions are drawn, a row each, and where they are: [T, rows] bool."""

    names: tuple[str, ...]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    counts: NDArray[np.bool_]  # [T]: labelled, promised and not N/A


def write_movie(path: Path, shard: Shard, series: Series, shown: Shown, box_T4: NDArray[np.float32]) -> float:
    """Writes the movie and returns its seconds. Raises DecodeError if the movie can't be read any more."""
    person = shard.person(series.clip.person_id)
    first = series.clip.first
    source_T = person.source_frame[first : first + len(series.scores)]
    time_T = series.clip.time_s
    samples = int(np.searchsorted(time_T, time_T[0] + LONGEST_S))
    numbers_N, sample_N, rate = _pictures(source_T[:samples], time_T[:samples])
    source = shard.json("source")
    size = source["decoded_height"], source["decoded_width"]
    frames = shown_frames(shard, numbers_N, size)
    panel = _Panel(series, shown, samples)
    pace = Fraction(rate).limit_denominator(1001)
    video = io.BytesIO()
    with av.open(video, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=pace)
        height = round(_WIDTH * size[0] / size[1])
        stream.width, stream.height = _WIDTH, _even(_TITLE + height + panel.height)
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "24", "preset": "veryfast"}
        for number, sample in enumerate(sample_N.tolist()):
            picture = _picture(frames, number, (height, _WIDTH))
            _draw_box(picture, box_T4[sample], FrameStatus(int(series.clip.status[sample])))
            page = Image.new("RGB", (stream.width, stream.height), _PAPER)
            page.paste(picture, (0, _TITLE))
            page.paste(panel.at(sample), (0, _TITLE + height))
            _draw_title(page, series.clip.reference)
            frame = av.VideoFrame.from_image(page)
            frame.pts, frame.time_base = number, 1 / pace
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_bytes_atomically(path, video.getvalue())
    return len(sample_N) / rate


def _pictures(
    source_T: NDArray[np.int64], time_T: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Source frames to show, the sample that each belongs to, and how many there are a second."""
    lasts = float(time_T[-1] - time_T[0]) or 1.0
    rate = (source_T[-1] - source_T[0]) / lasts
    if not 1 <= rate <= _FASTEST:
        return source_T, np.arange(len(source_T)), max(1.0, (len(source_T) - 1) / lasts)
    numbers = np.arange(source_T[0], source_T[-1] + 1)
    return numbers, np.searchsorted(source_T, numbers, side="right") - 1, float(rate)


def _picture(frames: Frames, number: int, size: tuple[int, int]) -> Image.Image:
    if not frames.ok[number]:
        return Image.new("RGB", size[::-1], _QUIET)
    return Image.fromarray(frames.pixels[number]).resize(size[::-1], Image.Resampling.BICUBIC)


def _draw_box(picture: Image.Image, box_4: NDArray[np.float32], status: FrameStatus) -> None:
    draw = ImageDraw.Draw(picture)
    if not np.isfinite(box_4).all():
        what = "not in the picture's labels" if status == FrameStatus.OUTSIDE else status.name.lower()
        draw.text((10, 8), f"no box: {what}", fill=_PAPER, font=_font(15), stroke_width=2, stroke_fill=_INK)
        return
    x1, y1, x2, y2 = (box_4 * np.tile(picture.size, 2)).tolist()
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    if status == FrameStatus.DETECTED:
        draw.line(corners, fill=_INK, width=5)
        draw.line(corners, fill=(255, 221, 64), width=3)
        return
    # Followed on weak evidence, or doubtful: dashed.
    for (ax, ay), (bx, by) in pairwise(corners):
        steps = max(2, int(max(abs(bx - ax), abs(by - ay)) / 8))
        for step in range(0, steps, 2):
            at = [(ax + (bx - ax) * t / steps, ay + (by - ay) * t / steps) for t in (step, step + 1)]
            draw.line(at, fill=(255, 221, 64), width=3)


def _draw_title(page: Image.Image, sentence: str) -> None:
    draw, font, shown = ImageDraw.Draw(page), _font(18), sentence
    while draw.textlength(f"“{shown}”", font=font) > _WIDTH - 20:
        shown = shown.removesuffix("…")[:-1] + "…"
    draw.text((10, 6), f"“{shown}”", fill=_INK, font=font)


class _Panel:
    """Rows of actions below the picture: marks for this very sample, and truth over prediction in time."""

    def __init__(self, series: Series, shown: Shown, samples: int) -> None:
        self.shown, self.samples = shown, samples
        self.height = _ROW * (len(shown.names) + 1) + 8
        self.still = Image.new("RGB", (_WIDTH, self.height), _PAPER)
        draw = ImageDraw.Draw(self.still)
        for row, _ in enumerate(shown.names):
            y = 4 + row * _ROW
            for bars_T, top, colour in ((shown.truth, 2, _TRUE), (shown.predicted, 9, _PREDICTED)):
                for sample in np.flatnonzero(bars_T[:samples, row]).tolist():
                    draw.rectangle([self._x(sample), y + top, self._x(sample + 1), y + top + 6], fill=colour)
        for sample in np.flatnonzero(~shown.counts[:samples]).tolist():
            draw.rectangle([self._x(sample), 4, self._x(sample + 1), self.height - _ROW - 4], fill=_QUIET)
        key = [("truth", _TRUE), ("prediction", _PREDICTED), ("not counted", _QUIET)]
        for place, (name, colour) in enumerate(key):
            x, y = _LABELS + 120 * place, self.height - _ROW
            draw.rectangle([x, y + 3, x + 18, y + 11], fill=colour)
            draw.text((x + 24, y - 1), name, fill=_INK, font=_font(12))

    def _x(self, sample: int) -> float:
        return _LABELS + (_WIDTH - _LABELS - 8) * sample / self.samples

    def at(self, sample: int) -> Image.Image:
        image = self.still.copy()
        draw = ImageDraw.Draw(image)
        for row, name in enumerate(self.shown.names):
            y, counts = 4 + row * _ROW, bool(self.shown.counts[sample])
            true, predicted = bool(self.shown.truth[sample, row]), bool(self.shown.predicted[sample, row])
            colour = _INK if true or predicted else (150, 148, 142)
            if counts and (true or predicted):
                colour = _RIGHT if true and predicted else _WRONG
                _mark(draw, 12, y + 8, true, predicted, colour)
            draw.text((26, y), name, fill=colour, font=_font(13))
        x = self._x(sample)
        draw.line([x, 2, x, self.height - _ROW - 2], fill=_INK, width=2)
        return image


def _mark(
    draw: ImageDraw.ImageDraw, x: int, y: int, true: bool, predicted: bool, colour: tuple[int, int, int]
) -> None:
    """A tick for a hit, a circle for what was missed, a cross for what isn't true."""
    if true and predicted:
        draw.line([(x - 5, y), (x - 1, y + 4), (x + 6, y - 5)], fill=colour, width=3)
    elif true:
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], outline=colour, width=2)
    else:
        draw.line([x - 4, y - 4, x + 4, y + 4], fill=colour, width=3)
        draw.line([x - 4, y + 4, x + 4, y - 4], fill=colour, width=3)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _even(pixels: int) -> int:
    return pixels + pixels % 2
