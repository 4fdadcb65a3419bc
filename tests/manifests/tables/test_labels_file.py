"""Labels: each kind of error at its row and column, and round trips."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.labels import Interval, Labels, load_labels, write_labels
from rhas.manifests.tables.manifest import Manifest, Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

HEADER = "movie_id,person_id,action,start_s,end_s\n"
VOCABULARY = Vocabulary(("walking", "talking", "sitting"))
MANIFEST = Manifest(
    Path("manifest.csv"),
    (Movie("m1", Path("/a.mp4"), (Person("m1", "p1", "the man"), Person("m1", "p2", "the woman"))),),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def problems_of(path: Path) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        load_labels(path, VOCABULARY, MANIFEST)
    return caught.value.problems


def test_sorted_by_start_and_overlapping_actions(file: Path) -> None:
    file.write_text(
        HEADER
        + "m1,p1,talking,3,8\nm1,p2,sitting,0,1\nm1,p1,walking,0,4.5\nm1,p1,N/A,8,9\nm1,p1,walking,9,10\n"
    )
    labels = load_labels(file, VOCABULARY, MANIFEST)
    assert labels.intervals == {
        ("m1", "p1"): (
            Interval("walking", 0.0, 4.5),
            Interval("talking", 3.0, 8.0),
            Interval("N/A", 8.0, 9.0),
            Interval("walking", 9.0, 10.0),
        ),
        ("m1", "p2"): (Interval("sitting", 0.0, 1.0),),
    }


@pytest.mark.parametrize(
    ("row", "column", "value", "expected"),
    [
        (",p1,walking,0,1", "movie_id", "", "an id"),
        ("m1, p1,walking,0,1", "person_id", " p1", "an id"),
        ("m1,p1,,0,1", "action", "", "not empty"),
        ("m1,p1,walkin,0,1", "action", "walkin", "one of the 3 actions, or N/A; did you mean 'walking'?"),
        ("m1,p1,n/a,0,1", "action", "n/a", "one of the 3 actions"),
        ("m1,p1,walking,,1", "start_s", "", "a finite time"),
        ("m1,p1,walking,0,", "end_s", "", "a finite time"),
        ("m1,p1,walking,0,inf", "end_s", "inf", "a finite time"),
        ("m1,p1,walking,nan,1", "start_s", "nan", "a finite time"),
        ("m1,p1,walking,-1,1", "start_s", "-1", "0 or more"),
        ("m1,p1,walking,2,2", "end_s", "2", "after start_s, 2.0"),
        ("m2,p1,walking,0,1", "movie_id", "m2", "a movie of manifest.csv"),
        ("m1,p3,walking,0,1", "person_id", "p3", "a person of movie 'm1' in manifest.csv"),
        ("m1,p1,sitting,20.0,21", "action", "sitting", "row 2 says the same"),
        ("m1,p1,N/A,20.5,22", "start_s", "20.5", "'sitting' in row 2"),
        ("m1,p1,walking,30.5,32", "start_s", "30.5", "'N/A' in row 3"),
        ("m1,p1,walking,0", None, 4, "5 fields"),
    ],
)
def test_names_row_column_and_value(
    file: Path, row: str, column: str | None, value: object, expected: str
) -> None:
    good = "m1,p1,sitting,20,21\nm1,p1,N/A,30,31\n"
    file.write_text(HEADER + good + row + "\n")
    problems = problems_of(file)
    assert [(p.row, p.column, p.value) for p in problems] == [(4, column, value)]
    assert expected in problems[0].expected


def test_absence_hidden_behind_a_later_interval_is_found(file: Path) -> None:
    file.write_text(HEADER + "m1,p1,walking,0,10\nm1,p1,talking,1,2\nm1,p1,N/A,5,6\n")
    assert [(p.row, p.column) for p in problems_of(file)] == [(4, "start_s")]


def test_absence_of_one_person_says_nothing_of_another(file: Path) -> None:
    file.write_text(HEADER + "m1,p1,walking,0,10\nm1,p2,N/A,0,10\n")
    load_labels(file, VOCABULARY, MANIFEST)


def test_without_vocabulary_and_manifest_anyone_may_do_anything(file: Path) -> None:
    file.write_text(HEADER + "m9,p9,flying,0,10\n")
    assert load_labels(file, None, None).intervals == {("m9", "p9"): (Interval("flying", 0.0, 10.0),)}


def test_no_rows(file: Path) -> None:
    file.write_text(HEADER)
    assert [p.row for p in problems_of(file)] == [2]


def test_intervals_in_columns_are_a_sequence_like_any_other(file: Path) -> None:
    file.write_text(HEADER + "m1,p1,talking,3,8\nm1,p2,sitting,0,1\nm1,p1,walking,0,4.5\n")
    labels = load_labels(file, None, None)
    own = labels.intervals["m1", "p1"]
    both = (Interval("walking", 0.0, 4.5), Interval("talking", 3.0, 8.0))
    assert own == both and both == own and own == pickle.loads(pickle.dumps(own)) and own != both[:1]
    assert (own[0], own[-1], own[:1], len(own)) == (both[0], both[1], both[:1], 2)
    assert both[1] in own and [type(i.start_s) for i in own] == [float, float]
    assert labels.count == 3 and not labels.intervals.get(("m1", "p3"), ())
    with pytest.raises(IndexError):
        own[2]


@st.composite
def person_intervals(draw: st.DrawFn) -> tuple[Interval, ...]:
    """Actions at any time before 100 s, absences after it."""
    times = st.floats(0, 100)
    spans = st.tuples(times, times).filter(lambda span: span[0] < span[1])
    actions = draw(st.sets(st.tuples(st.sampled_from(VOCABULARY.actions), spans), min_size=1, max_size=5))
    absences = draw(st.sets(spans, max_size=2))
    own = [Interval(action, *span) for action, span in actions]
    own += [Interval("N/A", 100 + start, 100.5 + end) for start, end in absences]
    return tuple(sorted(dict.fromkeys(own), key=lambda interval: interval.place))


keys = st.sampled_from([person.key for person in MANIFEST.persons])


@settings(deadline=None)  # the disk may be slow
@given(intervals=st.dictionaries(keys, person_intervals(), min_size=1))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, intervals: dict[tuple[str, str], tuple[Interval, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip_labels.csv"
    labels = Labels(path, intervals)
    write_labels(labels, path)
    assert load_labels(path, VOCABULARY, MANIFEST) == replace(labels, path=path)


csvish = st.lists(
    st.sampled_from(
        ["m1", "p1", "walking", "N/A", "0", "1.5", "nan", "m1,p1,walking,0,1", ",", "\n", '"', "\0"]
    )
    | st.text(max_size=4)
).map("".join)
contents = (
    st.binary(max_size=200)
    | csvish.map(lambda text: (HEADER + text).encode(errors="replace"))
    | st.binary(max_size=100).map(lambda data: HEADER.encode() + data)
)


@settings(deadline=None)  # the disk may be slow
@given(content=contents)
def test_anything_else_is_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any_labels.csv"
    path.write_bytes(content)
    try:
        load_labels(path, VOCABULARY, MANIFEST)
    except InputError as error:
        assert error.problems and str(error)


@settings(deadline=None)  # the disk may be slow
@given(
    spans=st.lists(
        st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=6, unique=True
    )
)
def test_an_overlap_with_absence_is_found_exactly_if_there_is_one(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[bool, int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "overlap_labels.csv"
    rows = [("N/A" if absent else "walking", start, start + length) for absent, start, length in spans]
    path.write_text(HEADER + "".join(f"m1,p1,{action},{start},{end}\n" for action, start, end in rows))
    absent = {t for action, start, end in rows if action == "N/A" for t in range(start, end)}
    acting = {t for action, start, end in rows if action != "N/A" for t in range(start, end)}
    try:
        load_labels(path, VOCABULARY, None)
        found = False
    except InputError:
        found = True
    assert found == bool(absent & acting)
