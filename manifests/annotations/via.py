"""VIA's projects (.json, VGG Image Annotator 3): segments of a video with a person and an action each.

Two attributes of segments have to be there: `person`, by which VIA groups its time line, and `action`. Times are
seconds of the player's clock, as numbers that hold any of ours. How far movie time is behind that clock stands in the
project, and is held against what the movie's clock says when the project is read. Regions and moments are left aside.

Facts: “Structure of a VIA Project JSON File” in VIA's CodeDoc. Label Studio also has time lines, in numbers of frames
at a rate that somebody has to type in.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from rhas.manifests.annotations.clocks import PlayerClock
from rhas.manifests.annotations.drawn import Drawn
from rhas.manifests.annotations.names import choices, person_of, shown
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.refusals import problems_of
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie
from rhas.manifests.tables.vocabulary import Vocabulary

SUFFIXES = (".json",)
PERSON, ACTION = "person", "action"
_SEGMENT = "FILE1_Z2_XY0"  # VIA's name of what belongs to a stretch of time and no region
_SELECT, _VIDEO, _FROM_DISK = 4, 4, 3
_SAME_S = 1e-6  # offsets that differ by less are the same

Id = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class _Attribute(BaseModel):
    aname: str
    anchor_id: str
    options: Any = None

    def text(self, value: str) -> str:
        """What is shown for a value: an option's text, or the value itself."""
        return str(self.options.get(value, value)) if isinstance(self.options, dict) else value


class _File(BaseModel):
    fname: str


class _View(BaseModel):
    fid_list: list[Id]


class _Metadata(BaseModel):
    vid: Id
    z: list[float]
    xy: list[float]
    av: dict[str, Any]


class _Ours(BaseModel):
    movie_time_begins_at_s: float


class _Config(BaseModel):
    rhas: _Ours | None = None


class _Project(BaseModel):
    attribute: dict[str, _Attribute]
    file: dict[str, _File]
    view: dict[str, _View]
    metadata: dict[str, _Metadata]
    config: _Config = Field(default_factory=_Config)


def write_via(
    path: Path,
    movie: Movie,
    labels: Mapping[str, Sequence[Interval]],
    vocabulary: Vocabulary,
    clock: PlayerClock,
) -> list[str]:
    """Writes a movie's project; `labels` by person_id. Returns lines on what it can't hold, of which there are none."""
    options = {action: str(number) for number, action in enumerate(choices(vocabulary), start=1)}
    segments = [
        {
            "vid": "1", "flg": 0, "xy": [], "z": [clock.played(i.start_s), clock.played(i.end_s)],
            "av": {"1": person.person_id, "2": options[i.action]},
        }
        for person in movie.persons
        for i in labels.get(person.person_id, ())
    ]  # fmt: skip
    persons = {person.person_id: shown(person) for person in movie.persons}
    project = {
        "project": {
            "pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": movie.movie_id, "creator": "rhas",
            "created": int(time.time() * 1000), "data_format_version": "3.1.1", "vid_list": ["1"],
        },
        "config": {
            "file": {"loc_prefix": {str(place): "" for place in range(1, 5)}},
            "ui": {
                "file_content_align": "center", "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": True, "temporal_segment_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "", "gtimeline_visible_row_count": str(len(persons)),
            },
            "rhas": {"movie_time_begins_at_s": clock.offset_s},
        },
        "attribute": {
            "1": _attribute(PERSON, persons),
            "2": _attribute(ACTION, {option: action for action, option in options.items()}),
        },
        "file": {
            "1": {
                "fid": "1", "fname": movie.video.name, "type": _VIDEO, "loc": _FROM_DISK,
                "src": movie.video.absolute().as_posix(),
            }
        },
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {f"1_{number:07d}": segment for number, segment in enumerate(segments, start=1)},
    }  # fmt: skip
    write_text_atomically(path, json.dumps(project, ensure_ascii=False, indent=1))
    return []


def read_via(path: Path, movie: Movie, vocabulary: Vocabulary, clock: PlayerClock) -> Drawn:
    """What a project says of the movie's persons. Raises InputError with all that can't be used.

    Of a project with several views, the one of the movie's file counts.
    """
    drawn = Drawn(path, movie, vocabulary)
    project = _load(path)
    if (ours := project.config.rhas) and abs(ours.movie_time_begins_at_s - clock.offset_s) > _SAME_S:
        expected = f"{clock.offset_s:.6f}, as the movie's clock and the setting decode.time_origin say now"
        drawn.refuse("config.rhas.movie_time_begins_at_s", expected, ours.movie_time_begins_at_s)
    named = {
        attribute.aname.casefold(): (number, attribute)
        for number, attribute in project.attribute.items()
        if attribute.anchor_id == _SEGMENT
    }
    if lacking := [name for name in (PERSON, ACTION) if name not in named]:
        raise InputError(
            Problem(path, f"attributes {PERSON} and {ACTION} of segments; it lacks {' and '.join(lacking)}")
        )
    own = _views(project, movie)
    for number, data in project.metadata.items():
        if data.vid not in own:
            drawn.aside["what belongs to other files"] += 1
        elif data.xy or len(data.z) != 2:
            drawn.aside["regions and moments"] += 1
        else:
            place = f"segment {number}, {data.z[0]:.3f} s"
            who, what = (
                attribute.text(str(data.av[key])) if key in data.av else ""
                for key, attribute in (named[PERSON], named[ACTION])
            )
            if (person_id := person_of(who, movie)) is None:
                drawn.refuse(place, f"a person: one of {', '.join(p.person_id for p in movie.persons)}", who)
            elif not all(map(math.isfinite, data.z)):
                drawn.refuse(place, "finite times", data.z)
            else:
                drawn.label(person_id, what, clock.ours(data.z[0]), clock.ours(data.z[1]), place)
    return drawn.end()


def _attribute(name: str, options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "aname": name, "anchor_id": _SEGMENT, "type": _SELECT, "desc": "", "options": dict(options),
        "default_option_id": "",
    }  # fmt: skip


def _load(path: Path) -> _Project:
    try:
        return _Project.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:  # before its base class
        raise InputError(problems_of(error, _Project, path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(Problem(path, f"a project of VIA 3, in JSON ({error})")) from error


def _views(project: _Project, movie: Movie) -> set[str]:
    """The views that show the movie."""
    if len(project.view) == 1:
        return set(project.view)
    files = {number for number, file in project.file.items() if Path(file.fname).name == movie.video.name}
    return {number for number, view in project.view.items() if files.intersection(view.fid_list)}
