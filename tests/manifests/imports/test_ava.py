"""Import of AVA-style annotations: what key frames stand for, which movies are found, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.imports.ava import AvaImport, import_ava
from rhas.manifests.tables.labels import Interval, load_labels, write_labels
from rhas.manifests.tables.manifest import load_manifest, write_manifest
from rhas.manifests.tables.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("standing", "talking", "walking"))
REFERENCES = "video_id,person_id,reference\n"
BOX = "0.1,0.2,0.5,1.000"


def run(folder: Path, annotations: str, references: str, movies: tuple[str, ...] = ("v1.mp4",)) -> AvaImport:
    videos = folder / "videos"
    videos.mkdir(exist_ok=True)
    for movie in movies:
        (videos / movie).touch()
    (folder / "ava.csv").write_text(annotations)
    (folder / "references.csv").write_text(REFERENCES + references)
    return import_ava(folder / "ava.csv", folder / "references.csv", videos, VOCABULARY)


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
    manifest, labels, skipped = run(tmp_path, annotations, "v1,0,the man in red\n")
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
    assert skipped == ()


def test_first_key_frame_is_cut_off_at_zero(tmp_path: Path) -> None:
    manifest, labels, _ = run(tmp_path, frame(0), "v1,0,x\n")
    assert (manifest.persons[0].start_s, manifest.persons[0].end_s) == (0.0, 0.5)
    assert labels.intervals["v1", "0"] == (Interval("standing", 0.0, 0.5),)


def test_persons_without_reference_are_skipped_and_reported(tmp_path: Path) -> None:
    annotations = frame(1) + frame(1, person_id="7") + frame(1, video_id="v2")
    manifest, labels, skipped = run(tmp_path, annotations, "v1,0,x\n")
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


def test_several_movies_of_one_id(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, frame(1), "v1,0,x\n", movies=("v1.mp4", "v1.mkv"))
    assert (problem.file, problem.value) == (tmp_path / "videos", "v1.mkv, v1.mp4")
    assert problem.expected == "one movie for video_id 'v1'"


def test_no_folder_of_movies(tmp_path: Path) -> None:
    run(tmp_path, frame(1), "v1,0,x\n")
    with pytest.raises(InputError, match="a folder of movies"):
        import_ava(tmp_path / "ava.csv", tmp_path / "references.csv", tmp_path / "none", VOCABULARY)


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
