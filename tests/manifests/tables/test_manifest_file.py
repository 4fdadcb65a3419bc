"""The manifest: each kind of error at its row and column, and round trips."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.tables.manifest import Manifest, Movie, Person, load_manifest, write_manifest

HEADER = "movie_id,video,person_id,reference,start_s,end_s,split\n"
GOOD = "m1,a.mp4,p1,the man in red,,,\n"


def problems_of(path: Path) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    return caught.value.problems


def where(problems: list[Problem]) -> list[tuple[int | None, str | None, object]]:
    return [(problem.row, problem.column, problem.value) for problem in problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "manifest.csv"


def test_reads_movies_and_persons_in_file_order(file: Path) -> None:
    file.write_text(
        "movie_id,video,person_id,reference,start_s,end_s,split\n"
        'm2,movies/b.mp4,p1,"the man, in red",1.5,9,train\n'
        "m1,/data/a.mp4,p1,the woman,,,\n"
        "\n"
        "m2,movies/b.mp4,p2,the child,,4e1,val\n"
    )
    first = Person("m2", "p1", "the man, in red", 1.5, 9.0, "train")
    second = Person("m2", "p2", "the child", 0.0, 40.0, "val")
    third = Person("m1", "p1", "the woman", 0.0, math.inf, None)
    manifest = load_manifest(file)
    assert manifest.movies == (
        Movie("m2", file.parent / "movies/b.mp4", (first, second)),
        Movie("m1", Path("/data/a.mp4"), (third,)),
    )
    assert manifest.persons == (first, second, third)


def test_paths_are_absolute_for_a_relative_manifest(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(HEADER + GOOD)
    monkeypatch.chdir(tmp_path)
    assert load_manifest(Path(file.name)).movies[0].video == tmp_path / "a.mp4"


def test_optional_columns_bom_and_crlf(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfreference,person_id,video,movie_id\r\nthe man,p1,a.mp4,m1\r\n")
    assert load_manifest(file).persons == (Person("m1", "p1", "the man"),)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_spreadsheets_divide_by_other_marks(file: Path, mark: str) -> None:
    file.write_text(
        f"\n{HEADER}".replace(",", mark) + mark.join(["m1", "a.mp4", "p1", "the man, in red", "1.5", "", ""])
    )
    assert load_manifest(file).persons == (Person("m1", "p1", "the man, in red", 1.5),)


def test_json_lines_and_parquet_are_read_as_the_csv_is(file: Path) -> None:
    """As pandas writes them, which leaves out nothing and has NaN for what is not there."""
    file.write_text(HEADER + GOOD + 'm2,b.mp4,7,"the ""wömán"", late",1.5,9,train\n')
    frame = pd.read_csv(file, dtype={"person_id": object})
    frame.to_parquet(file.with_suffix(".parquet"))
    frame.to_json(file.with_suffix(".jsonl"), orient="records", lines=True)
    expected = load_manifest(file)
    for suffix in (".parquet", ".jsonl"):
        assert load_manifest(file.with_suffix(suffix)).movies == expected.movies


def test_what_json_lines_can_not_be_is_named_by_line(file: Path) -> None:
    path = file.with_suffix(".jsonl")
    lines = ['{"movie_id": "m1", "video": "a.mp4", "person_id": 1, "reference": ["x"]}', "[]", "{", ""]
    path.write_text("\n".join(lines) + '{"movie_id": "m1", "video": "\\ud800", "split": "dev"}\n')
    found = [(problem.row, problem.column) for problem in problems_of(path)]
    assert found == [(1, "reference"), (2, None), (3, None), (4, "video")]
    path.with_suffix(".parquet").write_bytes(b"PAR1 no parquet PAR1")
    assert "a readable file" in problems_of(path.with_suffix(".parquet"))[0].expected


def test_other_columns_are_kept_but_none_that_is_nearly_one_of_ours(file: Path) -> None:
    file.write_text("licence,movie_id,video,person_id,reference,person_name\nCC0,m1,a.mp4,p1,the man,\n")
    manifest = load_manifest(file)
    assert (manifest.others, manifest.persons[0].others) == (("licence", "person_name"), ("CC0", ""))
    write_manifest(manifest, file)
    assert replace(load_manifest(file), path=manifest.path) == manifest
    file.write_text(HEADER.replace("split", "spilt").replace("end_s", "end") + GOOD)
    assert [problem.value for problem in problems_of(file)] == ["end", "spilt"]
    file.write_text(HEADER.strip() + ",\n" + GOOD.strip() + ",\n")
    assert [problem.value for problem in problems_of(file)] == [""]


def test_two_movies_may_share_a_video(file: Path) -> None:
    file.write_text(HEADER + GOOD + "m2,a.mp4,p1,the man in red,,,\n")
    assert len(load_manifest(file).movies) == 2


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (",a.mp4,p1,x,,,", "movie_id", ""),
        (" m,a.mp4,p1,x,,,", "movie_id", " m"),
        ('"m\n",a.mp4,p1,x,,,', "movie_id", "m\n"),
        ("m2,,p1,x,,,", "video", ""),
        ("m2, a.mp4,p1,x,,,", "video", " a.mp4"),
        ("m2,a.mp4,,x,,,", "person_id", ""),
        ("m2,a.mp4,p\t1,x,,,", "person_id", "p\t1"),
        ("m2,a.mp4,p1,,,,", "reference", ""),
        ("m2,a.mp4,p1, ,,,", "reference", " "),
        ("m2,a.mp4,p1,a\tb,,,", "reference", "a\tb"),
        ('m2,a.mp4,p1,"a\nb",,,', "reference", "a\nb"),
        ("m2,a.mp4,p1,x,nan,,", "start_s", "nan"),
        ("m2,a.mp4,p1,x,-1,,", "start_s", "-1"),
        ("m2,a.mp4,p1,x,1_0,,", "start_s", "1_0"),
        ("m2,a.mp4,p1,x,0:10,,", "start_s", "0:10"),
        ("m2,a.mp4,p1,x,,inf,", "end_s", "inf"),
        ("m2,a.mp4,p1,x,,1e999,", "end_s", "1e999"),
        ("m2,a.mp4,p1,x,,0,", "end_s", "0"),
        ("m2,a.mp4,p1,x,5,5,", "end_s", "5"),
        ("m2,a.mp4,p1,x,,,dev", "split", "dev"),
        ("m2,a.mp4,p\0,x,,,", "person_id", b"p\0"),
        ("m2,a\0.mp4,p1,x,,,", "video", b"a\0"),
        ("m2,a.mp4,p1,x,,", None, 6),
        ("m2,a.mp4,p1,x, and y,,,", None, 8),
        ("m1,b.mp4,p2,x,,,", "video", "b.mp4"),
        ("m1,a.mp4,p1,x,,,", "person_id", "p1"),
        ("M1,a.mp4,p1,x,,,", "movie_id", "M1"),
        ("m1,a.mp4,P1,x,,,", "person_id", "P1"),
        ('m2,a.mp4,p1,"x"y,,,', None, 'm2,a.mp4,p1,"x"y,,,'),
        ('m2,a.mp4,p1,"x,,,', None, 'm2,a.mp4,p1,"x,,,'),
    ],
)
def test_names_row_column_and_value(file: Path, row: str, column: str | None, value: object) -> None:
    file.write_text(HEADER + GOOD + row + "\n")
    assert where(problems_of(file)) == [(3, column, value)]


def test_long_ids_and_references(file: Path) -> None:
    fits = f"{'m' * 200},a.mp4,p1,{'x' * 2000},,,\n{'é' * 33},a.mp4,p1,x,,,\n"
    file.write_text(HEADER + fits)
    load_manifest(file)
    file.write_text(HEADER + fits + f"{'è' * 34},a.mp4,p1,{'x' * 2001},,,\n")
    problems = problems_of(file)
    assert [(p.row, p.column) for p in problems] == [(4, "movie_id"), (4, "reference")]
    assert "not 2001" in problems[1].expected and len(str(problems[1].value)) == 80


def test_field_beyond_the_limit_of_the_csv_module(file: Path) -> None:
    file.write_text(HEADER + f"m1,a.mp4,p1,{'x' * 200_000},,,\n")
    (problem,) = problems_of(file)
    assert problem.row == 2 and "field larger than field limit" in problem.expected


def test_all_problems_at_once_in_row_order(file: Path) -> None:
    file.write_text(HEADER + GOOD + "m1,b.mp4,p1,,nan,,dev\n" + "m2,a.mp4, p1,x,,,\n")
    found = [(problem.row, problem.column) for problem in problems_of(file)]
    assert sorted(found[:-1]) == [
        (3, column) for column in ("person_id", "reference", "split", "start_s", "video")
    ]
    assert found[-1] == (4, "person_id")
    assert str(problems_of(file)[-1]).startswith(
        f"{file}, row 4, column person_id: got ' p1': expected an id"
    )


def test_rows_are_counted_by_record(file: Path) -> None:
    file.write_text(HEADER + 'm1,a.mp4,p1,"two\nlines",,,\n\nm2,a.mp4,p1,x,,,dev\n')
    assert [(p.row, p.column) for p in problems_of(file)] == [(2, "reference"), (4, "split")]


def test_other_encoding_names_row_and_column(file: Path) -> None:
    file.write_bytes((HEADER + GOOD + "m2,a.mp4,p1,the man at the café,,,\n").encode("cp1252"))
    (problem,) = problems_of(file)
    assert (problem.row, problem.column, problem.value) == (3, "reference", b"the man at the caf\xe9")
    assert "UTF-8" in problem.expected


def test_utf16_is_one_problem(file: Path) -> None:
    file.write_text(HEADER + GOOD, encoding="utf-16")
    (problem,) = problems_of(file)
    assert problem.row == 1 and "UTF-8" in problem.expected


def test_header_problems(file: Path) -> None:
    file.write_text("movie_id,vidoe,person_id,person_id,reference\nm1,a.mp4,p1,p1,x\n")
    missing, unknown, repeated = problems_of(file)
    assert (missing.row, missing.column, missing.value) == (1, "video", None)
    assert (unknown.row, unknown.value) == (1, "vidoe") and "did you mean 'video'?" in unknown.expected
    assert (repeated.row, repeated.column, repeated.expected) == (1, "person_id", "each column once")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_empty_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    (problem,) = problems_of(file)
    assert "empty" in problem.expected


def test_no_rows(file: Path) -> None:
    file.write_text(HEADER + "\n")
    assert where(problems_of(file)) == [(2, None, None)]


def test_missing_file_folder_and_impossible_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "a\0b"):
        (problem,) = problems_of(path)
        assert problem.file == path and problem.expected.startswith("a readable file")


plain = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
ids = plain.map(lambda text: text.strip().casefold()[:16]).filter(str.strip)
sentences = plain.filter(str.strip)
video_names = plain.filter(lambda text: text == text.strip()).filter(str.strip)


@st.composite
def persons(draw: st.DrawFn, movie_id: str) -> tuple[Person, ...]:
    own = []
    for person_id in draw(st.lists(ids, min_size=1, max_size=3, unique=True)):
        start_s = draw(st.floats(0, 1e6))
        end_s = draw(st.just(math.inf) | st.floats(start_s, exclude_min=True, allow_infinity=False))
        split = draw(st.sampled_from((None, "train", "val", "test")))
        own.append(Person(movie_id, person_id, draw(sentences), start_s, end_s, split))
    return tuple(own)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    movie_ids = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    movies = (Movie(m, Path("/") / draw(video_names), draw(persons(m))) for m in movie_ids)
    return Manifest(Path("manifest.csv"), tuple(movies))


@settings(deadline=None)  # the disk may be slow
@given(manifest=manifests())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip_manifest.csv"
    write_manifest(manifest, path)
    assert load_manifest(path) == replace(manifest, path=path)


csvish = st.lists(
    st.sampled_from(
        [
            "movie_id",
            "video",
            "person_id",
            "reference",
            "start_s",
            ",",
            "\n",
            "\r",
            '"',
            "\0",
            "m1",
            "-1",
            "é",
            ";",
        ]
    )
    | st.text(max_size=5)
).map("".join)
contents = (
    st.binary(max_size=300)
    | csvish.map(lambda text: text.encode(errors="replace"))
    | csvish.map(lambda text: (HEADER + GOOD + text).encode(errors="replace"))
    | st.binary(max_size=100).map(lambda data: HEADER.encode() + data)
)


@settings(deadline=None)  # the disk may be slow
@given(content=contents)
def test_anything_else_is_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any_manifest.csv"
    path.write_bytes(content)
    try:
        load_manifest(path)
    except InputError as error:
        assert error.problems and all(problem.file == path for problem in error.problems)
        str(error).encode(errors="surrogateescape")
