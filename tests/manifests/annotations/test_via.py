"""VIA: projects of the form that its documentation describes are read, and what goes out comes back to the bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rhas.manifests.annotations.clocks import PlayerClock
from rhas.manifests.annotations.via import read_via, write_via
from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary

VOCABULARY = Vocabulary(("Break Egg", "Pour Liquid", 'say "søve" \\'))
MOVIE = Movie(
    "alioli", Path("/m/Alioli.ogv"), (Person("alioli", "p1", "the <cook>"), Person("alioli", "p2", "she"))
)

# As VIA 3 saves them: numbers as ids here and there, another file, a region in a frame, options with texts.
PROJECT: dict[str, Any] = {
    "project": {"pid": "__VIA_PROJECT_ID__", "pname": "sample", "vid_list": ["1", "2"]},
    "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}},
    "attribute": {
        "1": {"aname": "Action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "desc": "", "options": {"1": "Break Egg",
              "2": "Pour Liquid", "3": "N/A"}, "default_option_id": ""},
        "2": {"aname": "Object", "anchor_id": "FILE1_Z1_XY1", "type": 1, "desc": "", "options": {},
              "default_option_id": ""},
        "3": {"aname": "person", "anchor_id": "FILE1_Z2_XY0", "type": 1, "desc": "", "options": {},
              "default_option_id": ""},
    },
    "file": {
        "1": {"fid": 1, "fname": "Alioli.ogv", "type": 4, "loc": 2, "src": "https://a.b/Alioli.ogv"},
        "2": {"fid": 2, "fname": "mouse.mp4", "type": 4, "loc": 3, "src": "/home/x/mouse.mp4"},
    },
    "view": {"1": {"fid_list": [1]}, "2": {"fid_list": [2]}},
    "metadata": {
        "-glfwaaX": {"vid": "1", "flg": 0, "z": [2, 6.5], "xy": [], "av": {"1": "1", "3": "p1"}},
        "+mHHT-tg": {"vid": "1", "flg": 0, "z": [6.5, 20.25], "xy": [], "av": {"1": "3", "3": "p1: the cook"}},
        "ed+wsOZZ": {"vid": "2", "flg": 0, "z": [24, 26], "xy": [], "av": {"1": "2"}},
        "fH-oMre1": {"vid": "1", "flg": 0, "z": [0.917], "xy": [2, 263, 184, 17, 13], "av": {"2": "Egg"}},
    },
}  # fmt: skip


def read(folder: Path, project: Any, clock: PlayerClock = PlayerClock()):  # noqa: B008
    path = folder / "alioli.json"
    path.write_text(project if isinstance(project, str) else json.dumps(project), encoding="utf-8")
    return read_via(path, MOVIE, VOCABULARY, clock)


def test_a_project_of_via(tmp_path: Path) -> None:
    drawn = read(tmp_path, PROJECT, PlayerClock(0.5))
    assert drawn.labels == {"p1": {Interval("Break Egg", 1.5, 6.0), Interval(ABSENT, 6.0, 19.75)}}
    assert dict(drawn.aside) == {"what belongs to other files": 1, "regions and moments": 1}
    assert "no labels of p2" in list(drawn.told())[-1]


@pytest.mark.parametrize("offset_s", [0.0, 0.0213, 1.4])
def test_what_goes_out_comes_back(tmp_path: Path, offset_s: float) -> None:
    """To the bit; where the player's clock began earlier, to 1e-12 s, and never behind a sample that was inside."""
    times = np.arange(0, 40) / 15
    actions = (*VOCABULARY.actions, ABSENT)
    labels = {
        "p1": [Interval(actions[i % 4], float(times[i]), float(times[i + 3])) for i in range(30)],
        "p2": [],
    }
    assert write_via(tmp_path / "out.json", MOVIE, labels, VOCABULARY, PlayerClock(offset_s)) == []
    drawn = read_via(tmp_path / "out.json", MOVIE, VOCABULARY, PlayerClock(offset_s))
    back = sorted(drawn.labels["p1"], key=lambda interval: interval.place)
    assert [i.action for i in back] == [i.action for i in labels["p1"]] and drawn.labels.keys() == {"p1"}
    if not offset_s:
        assert back == labels["p1"]
    for name in ("start_s", "end_s"):
        off = np.array([getattr(i, name) for i in labels["p1"]]) - [getattr(i, name) for i in back]
        assert (off >= 0).all() and (off < 1e-12).all()
    with pytest.raises(InputError, match=r"config\.rhas\.movie_time_begins_at_s.*expected 9\.000000"):
        read_via(tmp_path / "out.json", MOVIE, VOCABULARY, PlayerClock(9.0))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("attribute.3.aname", "speaker", "it lacks person"),
        ("attribute.1.anchor_id", "FILE1_Z1_XY1", "it lacks action"),
        (
            "metadata.-glfwaaX.av",
            {"1": "1"},
            "segment -glfwaaX, 2.000 s: got '': expected a person: one of p1, p2",
        ),
        ("metadata.-glfwaaX.av", {"1": "Braek Egg", "3": "p1"}, "did you mean 'Break Egg'"),
        ("metadata.-glfwaaX.z", [6.5, 2], "an end after it"),
        ("metadata.-glfwaaX.z", [float("nan"), 2], "finite times"),
        ("metadata.-glfwaaX.z", "soon", "column metadata.-glfwaaX.z: got 'soon'"),
        ("view", None, "column view: got 'null'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, place: str, value: Any, said: str) -> None:
    project = copy.deepcopy(PROJECT)
    *parents, last = place.split(".")
    section = project
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(InputError, match=said):
        read(tmp_path, project)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\ud800"])
def test_what_is_no_project_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "alioli.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"alioli\.json"):
        read_via(path, MOVIE, VOCABULARY, PlayerClock())
