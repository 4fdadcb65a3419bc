"""CVAT's files (“CVAT for video 1.1”, .xml, or the .zip that CVAT hands out) read: boxes and labels from tracks.

In: a file of one task or job. Out: `Drawn`. A track says who it is by an attribute `person`, or by a label that is a
person's id. One whose label is an action says that the person does this as long as it is there, wherever its box is;
any other has the person's boxes, and maybe actions as attributes: `action`, `action_2` …, or checkboxes with the name
of an action. A box that is `outside` is no box; it doesn't say that the person is absent, which only a track of label
N/A does. Boxes are those of the samples, where there are features, else of every frame. `cvat_writing` writes such
files.

Frames are numbered as in the movie; a task that has frames which the movie hasn't is refused. Only keyframes
are read: what lies between is filled in anew, as CVAT does it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.annotations.clocks import FrameClock
from rhas.manifests.annotations.cvat_tracks import KeyFrame, Track
from rhas.manifests.annotations.drawn import BoxRows, Drawn
from rhas.manifests.annotations.names import person_of
from rhas.manifests.annotations.xml_file import elements
from rhas.manifests.tables.manifest import Movie
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

SUFFIXES = (".xml", ".zip")
PERSON = "person"  # label of tracks with boxes, and the attribute that says who it is
CORNERS = ("xtl", "ytl", "xbr", "ybr")
_WHO = (PERSON, "person_id")
_ACTION = re.compile(r"action(_\d+)?")
_NOTHING = ("", "-", "none", "__undefined__")  # what an attribute says where there is no action

_Boxes = tuple[NDArray[np.int64], NDArray[np.float64]]  # frames [M] and boxes [M, 4], in shares of the frame


class _Task(NamedTuple):
    """Which frames a task has: up to `stop`, which is not among them; and its picture's width and height in pixels."""

    stop: int
    size: tuple[float, float] | None


@dataclass(frozen=True)
class _Read:
    """A track as it stands in the file."""

    place: str
    label: str
    person_id: str | None
    track: Track


def read_cvat(path: Path, movie: Movie, vocabulary: Vocabulary, clock: FrameClock) -> Drawn:
    """What a file says of the movie's persons. Raises InputError with all that can't be used."""
    drawn, task = Drawn(path, movie, vocabulary), _Task(len(clock), None)
    boxes: dict[str, list[_Boxes]] = {}
    for element in elements(path, "annotations"):
        if element.tag == "meta":
            task = _task(drawn, element, clock)
        elif element.tag == "image":
            drawn.refuse("image", "tracks, as “CVAT for video 1.1” has them")
            break
        elif element.tag == "track" and (read := _read(drawn, element, task)) is not None:
            _take(drawn, read, task, clock, boxes)
        element.clear()
    for person_id, parts in boxes.items():
        if rows := _rows(drawn, person_id, parts, clock):
            drawn.boxes[person_id] = rows
    return drawn.end()


def _task(drawn: Drawn, meta: Element, clock: FrameClock) -> _Task:
    about = next((found for name in ("task", "job") if (found := meta.find(name)) is not None), None)
    if about is None:
        drawn.refuse("meta", "one task or job of CVAT, not a whole project")
        return _Task(len(clock), None)
    start, size = (_whole(about.findtext(name, "")) for name in ("start_frame", "size"))
    filtered = re.fullmatch(r"step=(\d+)", about.findtext("frame_filter", "").strip())
    stop = len(clock)
    if size is not None:
        step = max(1, int(filtered[1])) if filtered else 1
        last = (start or 0) + max(0, size - 1) * step
        stop = last + 1 if step == 1 else min(last + step, max(len(clock), last + 1))
    if stop > len(clock):
        expected = f"a task of this movie, which shows frames 0 to {len(clock) - 1}"
        drawn.refuse("task", expected, f"frames up to {stop - 1}")
    elif stop < len(clock):
        drawn.aside[f"frames {stop} to {len(clock) - 1} of the movie, which the task doesn't have"] += 1
    width, height = (_number(about.findtext(f"original_size/{name}", "")) for name in ("width", "height"))
    return _Task(stop, (width, height) if width and height else None)


def _read(drawn: Drawn, element: Element, task: _Task) -> _Read | None:
    """A track of somebody; None for others, and where something is wrong, which is noted."""
    label = element.get("label", "")
    place = f"track {element.get('id', '?')} ({label})"
    keyframes = [
        _keyframe(drawn, box, place) for box in element.iter("box") if box.get("keyframe", "1") != "0"
    ]
    if not keyframes and any(child.get("frame") for child in element):
        drawn.aside[f"tracks of label {label!r} that are no boxes"] += 1
    whole = [key for key in keyframes if key is not None]
    if not whole or len(whole) < len(keyframes):
        return None
    if any(after.frame <= key.frame for key, after in pairwise(whole)):
        drawn.refuse(place, "keyframes in the order of their frames, each once")
        return None
    if whole[-1].frame > task.stop - 1 + whole[-1].outside:  # where it ends may be the first frame behind
        drawn.refuse(place, f"frames of the task, up to {task.stop - 1}", whole[-1].frame)
        return None
    said = next(
        (text for key in whole for name, text in key.attributes.items() if name in _WHO and text), None
    )
    person_id = person_of(label if said is None else said, drawn.movie)
    if person_id is None and (said is not None or label in (PERSON, ABSENT) or label in drawn.vocabulary):
        drawn.refuse(
            place,
            f"an attribute {PERSON}: one of {', '.join(p.person_id for p in drawn.movie.persons)}",
            said,
        )
        return None
    if person_id is None:
        drawn.aside[f"tracks of label {label!r}"] += 1
        return None
    return _Read(place, label, person_id, Track(tuple(whole), task.stop))


def _keyframe(drawn: Drawn, box: Element, place: str) -> KeyFrame | None:
    frame = _whole(box.get("frame", ""))
    corners = [_number(box.get(name, "")) for name in CORNERS]
    turned = _number(box.get("rotation", "0"))
    if frame is None or turned != 0 or None in corners:
        drawn.refuse(
            f"{place}, frame {box.get('frame')}", "an upright box with four corners", dict(box.attrib)
        )
        return None
    x1, y1, x2, y2 = (corner or 0.0 for corner in corners)
    attributes = {a.get("name", ""): (a.text or "").strip() for a in box.iter("attribute")}
    return KeyFrame(frame, box.get("outside", "0") == "1", (x1, y1, x2, y2), attributes)


def _take(drawn: Drawn, read: _Read, task: _Task, clock: FrameClock, boxes: dict[str, list[_Boxes]]) -> None:
    assert read.person_id is not None
    if read.label == ABSENT or read.label in drawn.vocabulary:
        stretches = [(start, stop, read.label) for start, stop in read.track.shown()]
    else:
        stretches = list(_of_attributes(drawn, read))
        if task.size is None:
            drawn.refuse("meta", "the picture's size in original_size, which boxes are shares of")
        else:
            frames, in_pixels = read.track.boxes()
            kept = frames < len(clock)
            boxes.setdefault(read.person_id, []).append(
                (frames[kept], in_pixels[kept] / np.tile(task.size, 2))
            )
    for start, stop, action in stretches:
        place = f"{read.place}, frame {start}"
        drawn.label(read.person_id, action, clock.begins_s(start), clock.begins_s(stop), place)


def _of_attributes(drawn: Drawn, read: _Read) -> Iterator[tuple[int, int, str]]:
    """From which frame on, up to which, an action is said of a person by attributes of the boxes."""
    begun: dict[str, int] = {}
    reached = 0
    for start, stop, said in read.track.said():
        now = {action for name, text in said.items() if (action := _action(drawn, name, text))}
        for action in [one for one in begun if one not in now or start > reached]:
            yield begun.pop(action), reached, action
        begun.update({action: start for action in now if action not in begun})
        reached = stop
    yield from ((start, reached, action) for action, start in begun.items())


def _action(drawn: Drawn, name: str, text: str) -> str | None:
    if _ACTION.fullmatch(name):
        return None if text.casefold() in _NOTHING and text not in drawn.vocabulary else text
    if name in drawn.vocabulary and text.casefold() in ("true", "false"):
        return name if text.casefold() == "true" else None
    if name not in _WHO:
        drawn.aside[f"attribute {name!r}"] += 1
    return None


def _rows(drawn: Drawn, person_id: str, parts: Sequence[_Boxes], clock: FrameClock) -> BoxRows | None:
    """A person's boxes at the samples, or at all frames; None where there are none, or something is wrong with them."""
    frames = np.concatenate([frames for frames, _ in parts])
    box = np.clip(np.concatenate([boxes for _, boxes in parts]), 0, 1)
    order = np.argsort(frames, kind="stable")
    frames, box = frames[order], box[order]
    place = f"boxes of {person_id}"
    if (twice := frames[1:][frames[1:] == frames[:-1]]).size:
        drawn.refuse(place, "one box for each frame", f"two in frame {twice[0]}, and {twice.size - 1} more")
        return None
    if (empty := frames[(box[:, 2:] <= box[:, :2]).any(axis=1)]).size:
        drawn.refuse(place, "boxes with an area within the picture", f"none in frame {empty[0]}")
        return None
    if clock.samples is None:
        time_s, shown = clock.start_s, np.arange(len(clock))
    else:
        time_s, shown = clock.samples.time_s, clock.samples.frame
    there = np.isin(shown, frames)
    if not there.any():
        return None
    return BoxRows(time_s[there], box[np.searchsorted(frames, shown[there])])


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
