"""A table of nothing but mistakes: the first are told as if there were no others, the others are counted."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from rhas.manifests.common import errors
from rhas.manifests.common.errors import (
    SHOWN_PROBLEMS,
    InputError,
    Problem,
    Problems,
    did_you_mean,
    raise_problems,
)
from rhas.manifests.tables import labels
from rhas.manifests.tables.inputs import load_inputs
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import Manifest, Movie, Person

ROWS = 3000
HEADER = "movie_id,person_id,action,start_s,end_s\n"


def caught(call: object, *arguments: object) -> InputError:
    with pytest.raises(InputError) as error:
        call(*arguments)  # type: ignore[operator]
    return error.value


def test_the_first_by_row_are_told_in_the_order_of_checks(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        HEADER + "".join(f"m{row}, p1,walking,{row},x\n" for row in range(ROWS)) + "m,p,walking,2\n"
    )
    error = caught(load_labels, path, None, None)
    assert [(p.row, p.column) for p in error.problems] == [
        (row, column) for row in range(2, 27) for column in ("person_id", "end_s")
    ]
    assert len(error.problems) + error.more == 2 * ROWS + 1


def test_a_late_problem_of_an_early_row_is_told(tmp_path: Path) -> None:
    """Rows are compared after all cells were checked."""
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "m,p,walking,0,9\nm,p,N/A,1,2\n" + "m,p,walking,2,1\n" * ROWS)
    error = caught(load_labels, path, None, None)
    assert [(p.row, p.column) for p in error.problems][:2] == [(3, "start_s"), (4, "end_s")]
    assert (len(error.problems), error.more) == (SHOWN_PROBLEMS, ROWS + 1 - SHOWN_PROBLEMS)


def test_near_names_are_sought_for_what_is_told_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(name: str, known: Sequence[str]) -> str:
        asked.append(name)
        return did_you_mean(name, known)

    monkeypatch.setattr(labels, "did_you_mean", counted)
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "".join(f"flim_{row:04},p1,walking,0,1\n" for row in range(ROWS)))
    movies = [
        Movie(f"movie_{i:04}", Path("a.mp4"), (Person(f"movie_{i:04}", "p1", "x"),)) for i in range(ROWS)
    ]
    error = caught(load_labels, path, None, Manifest(Path("manifest.csv"), tuple(movies)))
    assert asked == [f"flim_{row:04}" for row in range(SHOWN_PROBLEMS)]
    assert all(f"did you mean 'movie_{row:04}'?" in p.expected for row, p in enumerate(error.problems))
    assert error.more == ROWS - SHOWN_PROBLEMS


def test_problems_of_several_files_keep_their_order_and_count(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("movie_id,video,person_id,reference\n" + "m,,p,x\n" * 60)
    (tmp_path / "labels.csv").write_text(HEADER + "m,p,walking,1,0\n" * 60)
    error = caught(load_inputs, tmp_path / "manifest.csv", tmp_path / "labels.csv")
    assert [(Path(str(p.file)).name, p.row) for p in error.problems[::49]] == [
        ("manifest.csv", 2), ("manifest.csv", 27), ("labels.csv", 50),
    ]  # fmt: skip
    lines = str(error).splitlines()
    assert len(lines) == SHOWN_PROBLEMS + 1 and all("manifest.csv, row" in line for line in lines[:-1])
    # Of the manifest's rows each lacks a video, and all but the first repeat a person.
    assert lines[-1] == f"and {60 + 59 + 60 - SHOWN_PROBLEMS} more problems"


def test_an_error_crosses_processes_whole() -> None:
    error = InputError([Problem("a.csv", "x", row) for row in range(60)], more=7)
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, again.more, str(again)) == (error.problems, 7, str(error))
    assert str(again).endswith("and 17 more problems")


def test_problems_are_sorted_by_row_and_keep_the_order_within() -> None:
    given = [Problem("a", str(at), row) for at, row in enumerate([3, 1, None, 3, 2, 1] * 20)]
    expected = sorted(given, key=lambda problem: problem.row or 0)
    assert Problems(given).first() == expected[:SHOWN_PROBLEMS]
    error = caught(raise_problems, given[:2], [], Problems(given[:3]))
    assert [problem.expected for problem in error.problems] == ["1", "0", "2", "1", "0"] and error.more == 0
    raise_problems([], Problems())


def test_near_names() -> None:
    known = ("walking", "talking", "sitting", "N/A")
    assert did_you_mean("walkin", known) == "; did you mean 'walking'?"
    assert did_you_mean("stting", known) == "; did you mean 'sitting'?"
    assert did_you_mean("xyz", known) == did_you_mean("", known) == did_you_mean("walking", ()) == ""
    assert errors.shorten("x" * 81) == "x" * 77 + "..."
