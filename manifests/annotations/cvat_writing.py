"""CVAT's files (“CVAT for video 1.1”, .xml) written: boxes and labels as tracks that `cvat` reads.

For each person a track of label `person` with the boxes, a keyframe at each sample, occluded where it is doubtful; and
for each interval a track whose label is the action, from its first frame to its last, in a strip at the top of the
picture, where it is in nobody's way. CVAT needs the labels before the tracks: `labels_of` is what its constructor takes
under “Raw”.

CVAT holds whole frames, and two decimals of a pixel when it writes itself; a file that it hasn't touched gives
the same boxes to the bit.

Shapes: T samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.annotations.clocks import FrameClock
from rhas.manifests.annotations.cvat import CORNERS, PERSON
from rhas.manifests.annotations.drawn import lanes
from rhas.manifests.annotations.names import choices, shown
from rhas.manifests.annotations.xml_file import XmlWriter
from rhas.manifests.common.atomic import written_atomically
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie
from rhas.manifests.tables.vocabulary import Vocabulary

_ROWS, _COLUMNS = 20, 8  # of the strips' grid: a person a row, what overlaps beside each other


@dataclass(frozen=True)
class SampledBoxes:
    """A person's boxes at the samples of the clock, x1 y1 x2 y2 [T, 4], NaN without one; and which [T] are doubtful."""

    box: NDArray[np.float32]
    doubtful: NDArray[np.bool_]


@dataclass(frozen=True)
class _Shape:
    frame: int
    box: tuple[float, ...]  # in pixels
    outside: bool = False
    occluded: bool = False


def write_cvat(
    path: Path, movie: Movie, labels: Mapping[str, Sequence[Interval]], boxes: Mapping[str, SampledBoxes],
    vocabulary: Vocabulary, clock: FrameClock, size: tuple[int, int],
) -> list[str]:  # fmt: skip
    """Writes a movie's file; `labels` and `boxes` by person_id, `size` is the frames' width and height in pixels.

    Returns lines on what it can't hold.
    """
    lost: list[str] = []
    with written_atomically(path) as file:
        xml, number = XmlWriter(file), count()
        with xml.inside("annotations"):
            xml.leaf("version", text="1.1")
            _write_meta(xml, movie, vocabulary, clock, size)
            for row, person in enumerate(movie.persons):
                who = shown(person)
                if (own := boxes.get(person.person_id)) is not None and (
                    shapes := list(_shapes(own, clock, size))
                ):
                    _write_track(xml, next(number), PERSON, who, shapes)
                for column, lane in enumerate(lanes(labels.get(person.person_id, ()))):
                    strip = _strip(row, column, size)
                    for interval in lane:
                        start, stop = clock.boundary(interval.start_s), clock.boundary(interval.end_s)
                        if start >= stop:
                            lost.append(
                                f"{movie.movie_id}: {interval.action} of {person.person_id} at "
                                f"{interval.start_s:g} s has no frame of the movie"
                            )
                            continue
                        ends = [_Shape(stop, strip, outside=True)] if stop < len(clock) else []
                        _write_track(xml, next(number), interval.action, who, [_Shape(start, strip), *ends])
    return lost


def labels_of(movie: Movie, vocabulary: Vocabulary) -> str:
    """The task's labels in JSON, as CVAT's constructor takes them."""
    persons = [shown(person) for person in movie.persons]
    who = {
        "name": PERSON, "mutable": False, "input_type": "select", "default_value": persons[0], "values": persons,
    }  # fmt: skip
    labels = [
        {"name": name, "type": "rectangle", "attributes": [who]} for name in (PERSON, *choices(vocabulary))
    ]
    return json.dumps(labels, ensure_ascii=False, indent=1)


def _write_meta(
    xml: XmlWriter, movie: Movie, vocabulary: Vocabulary, clock: FrameClock, size: tuple[int, int]
) -> None:
    plain: dict[str, Any] = {
        "name": movie.movie_id, "size": len(clock), "mode": "interpolation", "overlap": 0, "start_frame": 0,
        "stop_frame": len(clock) - 1, "frame_filter": "",
    }  # fmt: skip
    with xml.inside("meta"), xml.inside("task"):
        for name, value in plain.items():
            xml.leaf(name, text=str(value))
        with xml.inside("labels"):
            for label in (PERSON, *choices(vocabulary)):
                with xml.inside("label"):
                    xml.leaf("name", text=label)
                    with xml.inside("attributes"), xml.inside("attribute"):
                        xml.leaf("name", text=PERSON)
                        xml.leaf("mutable", text="False")
                        xml.leaf("input_type", text="select")
                        xml.leaf("default_value", text=shown(movie.persons[0]))
                        xml.leaf("values", text="\n".join(map(shown, movie.persons)))
        with xml.inside("original_size"):
            xml.leaf("width", text=str(size[0]))
            xml.leaf("height", text=str(size[1]))
        xml.leaf("source", text=movie.video.name)


def _write_track(xml: XmlWriter, number: int, label: str, who: str, shapes: Sequence[_Shape]) -> None:
    with xml.inside("track", {"id": str(number), "label": label, "source": "auto"}):
        for shape in shapes:
            attributes = {
                "frame": str(shape.frame), "keyframe": "1", "outside": str(int(shape.outside)),
                "occluded": str(int(shape.occluded)),
                **{name: repr(corner) for name, corner in zip(CORNERS, shape.box, strict=True)}, "z_order": "0",
            }  # fmt: skip
            with xml.inside("box", attributes):
                xml.leaf("attribute", {"name": PERSON}, who)


def _shapes(own: SampledBoxes, clock: FrameClock, size: tuple[int, int]) -> Iterator[_Shape]:
    """A keyframe where a sample has a box, and one outside at the sample, or the frame, that has none after it."""
    assert clock.samples is not None  # where boxes come from
    frames, first = np.unique(
        clock.samples.frame, return_index=True
    )  # a slow movie's frames are sampled several times
    there = set(frames[np.isfinite(own.box[first]).all(axis=1)].tolist())
    # float32 times pixels, in float64, is exact: so what is divided again is the same.
    in_pixels = own.box[first].astype(np.float64) * np.tile(size, 2)
    doubtful = set(frames[own.doubtful[first]].tolist())
    last: _Shape | None = None
    for row, frame in enumerate(frames.tolist()):
        if frame in there:
            last = _Shape(frame, tuple(in_pixels[row].tolist()), occluded=frame in doubtful)
            yield last
        elif last is not None:
            yield _Shape(frame, last.box, outside=True)
            last = None
    if last is not None and last.frame + 1 < len(clock):
        yield _Shape(last.frame + 1, last.box, outside=True)


def _strip(row: int, column: int, size: tuple[int, int]) -> tuple[float, ...]:
    """A small box of the grid that covers the picture; it begins anew where it ends."""
    width, height = size[0] / _COLUMNS, size[1] / _ROWS
    x, y = width * (column % _COLUMNS), height * (row % _ROWS)
    return x, y, x + width, y + height
