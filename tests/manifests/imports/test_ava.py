"""Import of AVA-style annotations: what key frames stand for, which movies are found, what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.imports.ava import AvaImport, import_ava
from rhas.manifests.imports.label_map import ActionList, load_action_list
from rhas.manifests.tables.boxes import COLUMNS, load_boxes
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import Interval, load_labels, write_labels
from rhas.manifests.tables.manifest import load_manifest, write_manifest

ACTIONS = ActionList({1: "standing", 2: "talking", 3: "walking"})
VOCABULARY = ACTIONS.vocabulary
REFERENCES = "video_id,person_id,reference\n"
BOX = "0.1,0.2,0.5,1.000"


def run(
    folder: Path,
    annotations: str,
    references: str,
    movies: tuple[str, ...] = ("v1.mp4",),
    actions: ActionList = ACTIONS,
    offset_s: float = 0.0,
) -> AvaImport:
    videos = folder / "videos"
    videos.mkdir(exist_ok=True)
    for movie in movies:
        (videos / movie).touch()
    (folder / "ava.csv").write_text(annotations)
    (folder / "references.csv").write_text(REFERENCES + references)
    return import_ava(folder / "ava.csv", folder / "references.csv", videos, actions, offset_s)


def problems_of(folder: Path, *args: str, movies: tuple[str, ...] = ()) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        run(folder, *args, movies=movies)
    return caught.value.problems


def frame(second: object, action_id: int = 1, video_id: str = "v1", person_id: str = "0") -> str:
    return f"{video_id},{second},{BOX},{action_id},{person_id}\n"


def test_key_frames_become_intervals_and_gaps_absence(tmp_path: Path) -> None:
    annotations = "".join(
        [frame("0902"), frame("0903"), frame("0903", 2), frame("0907", 2), frame("0905", 3), frame("0904", 3)]
    )
    manifest, labels, _, skipped, unlisted = run(tmp_path, annotations, "v1,0,the man in red\n")
    (person,) = manifest.persons
    assert (person.key, person.reference) == (("v1", "0"), "the man in red")
    assert (person.start_s, person.end_s) == (901.5, 907.5)
    assert labels.intervals == {
        ("v1", "0"): (
            Interval("standing", 901.5, 903.5),
            Interval("talking", 902.5, 903.5),
            Interval("walking", 903.5, 905.5),
            Interval("N/A", 905.5, 906.5),
            Interval("talking", 906.5, 907.5),
        )
    }
    assert (skipped, unlisted) == ((), {})


def test_first_key_frame_is_cut_off_at_zero(tmp_path: Path) -> None:
    manifest, labels, *_ = run(tmp_path, frame(0), "v1,0,x\n")
    assert (manifest.persons[0].start_s, manifest.persons[0].end_s) == (0.0, 0.5)
    assert labels.intervals["v1", "0"] == (Interval("standing", 0.0, 0.5),)


def test_persons_without_reference_are_skipped_and_reported(tmp_path: Path) -> None:
    annotations = frame(1) + frame(1, person_id="7") + frame(1, video_id="v2")
    manifest, labels, _, skipped, _ = run(tmp_path, annotations, "v1,0,x\n")
    assert [person.key for person in manifest.persons] == list(labels.intervals) == [("v1", "0")]
    assert skipped == (("v1", "7"), ("v2", "0"))


def test_movies_are_found_by_id(tmp_path: Path) -> None:
    annotations = frame(1) + frame(1, video_id="v2") + frame(1, video_id="-v.3") + frame(1, video_id="_4")
    references = "v1,0,x\nv2,0,x\n-v.3,0,x\n_4,0,x\n"
    movies = ("v1.MKV", "v1.srt", "-v.3.webm", "v22.mp4")
    manifest = run(tmp_path, annotations, references, movies).manifest
    assert [(movie.movie_id, movie.video.name) for movie in manifest.movies] == [
        ("v1", "v1.MKV"),
        ("v2", "v2.mp4"),
        ("v-v.3", "-v.3.webm"),
        ("v_4", "_4.mp4"),
    ]
    assert all(movie.video.parent == tmp_path / "videos" for movie in manifest.movies)


def test_ids_of_avas_own_actions() -> None:
    """As AVA's list v2.2 has them."""
    names = load_action_list().names
    assert list(names) == list(range(1, 81))
    assert [names[i] for i in (1, 12, 17, 80)] == [
        "bend/bow (at the waist)", "stand", "carry/hold (an object)", "watch (a person)",
    ]  # fmt: skip
    assert names[79] == "talk to (e.g., self, a person, a group)"


@pytest.mark.parametrize(
    "text",
    [
        'item {\n  name: "stand"\n  id: 12\n}\nitem {\n  name: "carry/hold (an \\"object\\")"\n  id: 17\n}\n',
        "# v1\nlabel { label_id: 17 name: 'carry/hold (an \"object\")' label_type: OBJECT_MANIPULATION }\r\n"
        'label{name:"stand" label_id:12 label_type:PERSON_MOVEMENT}',
    ],
)
def test_label_maps_with_gaps(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.pbtxt").write_text(text)
    assert load_action_list(tmp_path / "list.pbtxt").names == {12: "stand", 17: 'carry/hold (an "object")'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "at least one entry"),
        ("name: 'stand'", "got \"name: 'stand'\": expected entries item { name: … id: … } and nothing else"),
        ("item { name: 'a' id: 0 }", "expected an id from 1 in entry 1"),
        ("item { id: 3 }", "expected a text that is not empty in entry 1"),
        (r"item { name: 'a\x' id: 3 }", "expected a text that is not empty in entry 1"),
        (
            "item { name: 'a' id: 1 } item { name: 'b' id: 1 }",
            "expected each id and each name once in entry 2",
        ),
        ("item { name: 'N/A' id: 1 }", "N/A is reserved"),
        ("item { name: 'a id: 1 }", "nothing else"),
    ],
)
def test_label_maps_that_are_none(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "list.pbtxt").write_text(text)
    with pytest.raises(InputError, match=re.escape(expected)):
        load_action_list(tmp_path / "list.pbtxt")


def test_rows_of_actions_in_a_gap_say_that_the_person_is_there_and_are_counted(tmp_path: Path) -> None:
    annotations = frame(1, 12) + frame(2, 13) + frame(2, 14) + frame(3, 17) + frame(5, 17)
    found = run(tmp_path, annotations, "v1,0,x\n", actions=ActionList({12: "stand", 17: "hold"}))
    assert found.unlisted == {13: 1, 14: 1}
    assert [(i.action, i.start_s, i.end_s) for i in found.labels.intervals["v1", "0"]] == [
        ("stand", 0.5, 1.5), ("hold", 2.5, 3.5), ("N/A", 3.5, 4.5), ("hold", 4.5, 5.5),
    ]  # fmt: skip
    with pytest.raises(InputError, match="got '18': expected a whole number from 1 to 17"):
        run(tmp_path, frame(1, 18), "v1,0,x\n", actions=ActionList({12: "stand", 17: "hold"}))


def test_boxes_are_those_of_the_annotators_in_the_time_of_the_movie(tmp_path: Path) -> None:
    def boxed(second: int, box: str, action: int = 1, person: str = "0") -> str:
        return f"-v,{second},{box},{action},{person}\n"

    annotations = (
        boxed(903, "0.1,0.2,0.5,0.6")
        + boxed(902, "0.3,0.2,0.5,1.000")
        + boxed(902, "0.3,0.2,0.5,1.000", 2)
        + boxed(905, "0.4,0.2,0.4,0.6")  # no area
        + boxed(906, "0.1,0.2,0.5,0.6")
        + boxed(906, "0.1,0.2,0.6,0.6", 2)  # another box
        + boxed(902, "0,0,1,1", person="not referred to")
    )
    found = run(tmp_path, annotations.replace("not referred to", "9"), "-v,0,x\n", offset_s=900.0)
    assert (found.boxes.without_area, found.boxes.contradictory) == (1, 1)
    write_rows(tmp_path / "boxes.csv", COLUMNS, found.boxes.rows)
    (key, tracklet), *others = load_boxes(tmp_path / "boxes.csv").items()
    assert (key, others) == (("v-v", "0"), [])
    assert tracklet.time_s.tolist() == [2.0, 3.0]
    np.testing.assert_allclose(tracklet.at(np.array([2.0, 2.5])), [[0.3, 0.2, 0.5, 1], [0.2, 0.2, 0.5, 0.8]])


def test_real_rows_of_ava(tmp_path: Path) -> None:
    sample = Path(__file__).parents[4] / "shared" / "data" / "ava" / "ava_sample.csv"
    if not sample.is_file():
        pytest.skip(f"{sample} is not here")
    found = run(tmp_path, sample.read_text(), "0f39OWEqJ24,0,x\n", (), load_action_list(), 900.0)
    actions = {interval.action for interval in found.labels.intervals["0f39OWEqJ24", "0"]}
    assert {"stand", "carry/hold (an object)", "talk to (e.g., self, a person, a group)"} <= actions
    assert found.boxes.rows[0] == ("0f39OWEqJ24", "0", 2.0, 0.031, 0.162, 0.67, 0.995)


def test_several_movies_of_one_id(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, frame(1), "v1,0,x\n", movies=("v1.mp4", "v1.mkv"))
    assert (problem.file, problem.value) == (tmp_path / "videos", "v1.mkv, v1.mp4")
    assert problem.expected == "one movie for video_id 'v1'"


def test_no_folder_of_movies(tmp_path: Path) -> None:
    run(tmp_path, frame(1), "v1,0,x\n")
    with pytest.raises(InputError, match="a folder of movies"):
        import_ava(tmp_path / "ava.csv", tmp_path / "references.csv", tmp_path / "none", ACTIONS)


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (f"../v1,2,{BOX},1,0", "video_id", "../v1"),
        (f"v1,,{BOX},1,0", "timestamp", ""),
        (f"v1,-1,{BOX},1,0", "timestamp", "-1"),
        (f"v1,1e9,{BOX},1,0", "timestamp", "1e9"),
        ("v1,2,-0.1,0,1,1,1,0", "x1", "-0.1"),
        ("v1,2,0,0,1,320,1,0", "y2", "320"),
        ("v1,2,0.5,0,0.4,1,1,0", "x2", "0.4"),
        ("v1,2,0,,1,1,1,0", "y1", ""),
        (f"v1,2,{BOX},,0", "action_id", ""),
        (f"v1,2,{BOX},0,0", "action_id", "0"),
        (f"v1,2,{BOX},4,0", "action_id", "4"),
        (f"v1,2,{BOX},{'9' * 5000},0", "action_id", "9" * 77 + "..."),
        (f"v1,2,{BOX},1,", "person_id", ""),
        ("v1,2", None, 2),
    ],
)
def test_bad_annotations(tmp_path: Path, row: str, column: str | None, value: object) -> None:
    problems = problems_of(tmp_path, frame(1) + row + "\n", "v1,0,x\n")
    assert [(p.row, p.column, p.value) for p in problems] == [(2, column, value)]


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ("v9,0,x", "video_id", "v9"),
        ("v1,9,x", "person_id", "9"),
        ("v1,0,y", "person_id", "0"),
        ("v1,1,", "reference", ""),
        ("V1,0,x", "video_id", "V1"),
        ("v-v1,0,x", "video_id", "v-v1"),
    ],
)
def test_bad_references(tmp_path: Path, row: str, column: str, value: str) -> None:
    others = (("v1", "1"), ("V1", "0"), ("v-v1", "0"), ("-v1", "0"))
    annotations = frame(1) + "".join(frame(1, video_id=v, person_id=p) for v, p in others)
    problems = problems_of(tmp_path, annotations, "v1,0,x\n-v1,0,x\n" + row + "\n")
    assert [(p.row, p.column, p.value) for p in problems] == [(4, column, value)]


def test_problems_of_all_files_in_one_error(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, frame(1, 9), "v1,0,\nv9,0,x\n", movies=("v1.mp4", "v1.mkv"))
    assert [Path(p.file).name for p in problems] == ["ava.csv", "references.csv", "videos"]


def test_empty_files(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "", "")
    assert [(Path(p.file).name, p.row) for p in problems] == [("ava.csv", None), ("references.csv", 2)]


tracklets = st.dictionaries(
    st.tuples(st.sampled_from(("v1", "v2")), st.sampled_from(("0", "1"))),
    st.sets(st.tuples(st.integers(0, 20), st.integers(1, 3)), min_size=1),
    min_size=1,
)


@settings(deadline=None)  # the disk may be slow
@given(tracklets=tracklets, data=st.data())
def test_covers_exactly_the_annotated_seconds(
    tmp_path_factory: pytest.TempPathFactory,
    tracklets: dict[tuple[str, str], set[tuple[int, int]]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = [frame(t, action, *key) for key, frames in tracklets.items() for t, action in sorted(frames)]
    references = "".join(f"{video_id},{person_id},someone\n" for video_id, person_id in tracklets)
    imported = run(folder, "".join(data.draw(st.permutations(rows))), references, movies=())

    for person in imported.manifest.persons:
        frames = tracklets[person.key]
        seconds = {t for t, _ in frames}
        intervals = imported.labels.intervals[person.key]
        for half in range(-2, 45):  # both halves of each second, at their middles
            time = half / 2 + 0.25
            active = {i.action for i in intervals if i.start_s <= time < i.end_s}
            second = math.floor(time + 0.5)
            expected = {VOCABULARY.actions[a - 1] for t, a in frames if t == second and time >= 0}
            if not expected and min(seconds) < second < max(seconds):
                expected = {"N/A"}
            assert active == expected
            assert bool(active) == (person.start_s <= time < person.end_s)

    write_manifest(imported.manifest, folder / "ava_manifest.csv")
    write_labels(imported.labels, folder / "ava_labels.csv")
    manifest = load_manifest(folder / "ava_manifest.csv")
    assert manifest == replace(imported.manifest, path=manifest.path)
    labels = load_labels(folder / "ava_labels.csv", VOCABULARY, manifest)
    assert labels == replace(imported.labels, path=labels.path)
