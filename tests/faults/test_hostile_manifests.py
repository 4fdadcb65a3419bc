"""Manifests, labels, folds and failures of any content: read, or refused by an InputError that names the file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import place_of
from rhas.manifests.tables.folds import load_folds
from rhas.manifests.tables.inputs import load_inputs

HEADERS = {
    "manifest.csv": ["movie_id", "video", "person_id", "reference", "start_s", "end_s", "split"],
    "labels.csv": ["movie_id", "person_id", "action", "start_s", "end_s"],
    "actions.csv": ["action"],
    "splits.csv": ["fold", "movie_id", "half"],
    "failures.csv": ["movie_id", "window", "stage", "reason", "frames"],
}
SOUND = {
    "movie_id": "m1", "video": "a.mp4", "person_id": "p1", "reference": "the man", "start_s": "0", "end_s": "9",
    "split": "train", "action": "running", "fold": "1", "half": "test", "window": "0", "stage": "decode",
    "reason": "damaged", "frames": "3",
}  # fmt: skip
ODD = st.sampled_from(
    ["", " ", "nan", "NaN", "inf", "-inf", "-1", "1e999", "1_000", "٣", "0x10", "1e-320", "9" * 400, "N/A", "#", "=1+1",
     "..", ".", "../../etc/passwd", "/etc/passwd", "a/../../b", "C:\\x", "\\\\host\\x", "con", "m1", "M1", "m1.",
     "-rf", "~", "%2e%2e", "a\x00b", "\ufeffm1", "m\u0131", "e\u0301", "\u202egpj", "\ud7ff", "x" * 300, "y" * 140_000,
     "a\nb", "a\r\nb", '"', '""', "a\tb", "\x1b[2J", "$(reboot)", "`id`", "'; drop table"]
)  # fmt: skip
CELLS = ODD | st.text(max_size=8)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-32"])


@st.composite
def tables(draw: st.DrawFn, name: str) -> bytes:
    """A file of this name: sound but for a few cells, or odd in its columns, delimiters, line ends or bytes."""
    header, rows = HEADERS[name], []
    for number in range(draw(st.integers(1, 3))):
        own = {
            "person_id": f"p{number}",
            "action": ("running", "walking", "N/A")[number],
            "fold": str(number),
        }
        rows.append([own.get(column, SOUND[column]) for column in header])
    for _ in range(draw(st.integers(0, 2))):
        draw(st.sampled_from(rows))[draw(st.integers(0, len(header) - 1))] = draw(CELLS)
    if draw(st.integers(0, 3)):
        return _written([header, *rows])
    header = draw(st.permutations(header) | st.just([*header, header[0]]) | st.just(header[1:]))
    rows.append(draw(st.lists(CELLS, max_size=9)))
    form = {
        "delimiter": draw(st.sampled_from(",;\t|")),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }
    data = _written([header, *rows], draw(ENCODINGS), **form)
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 4)) :]


def _written(rows: list[list[str]], encoding: str = "utf-8", **form: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, **form).writerows(rows)
    return text.getvalue().encode(encoding, errors="replace")


def refused_or(read: Callable[[], object], *files: Path) -> object | None:
    """What is read; None if it was refused, by an error whose every problem names one of the files."""
    try:
        return read()
    except InputError as error:
        assert error.problems
        for problem in error.problems:
            assert str(problem.file) in {str(file) for file in files} and problem.expected
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


IN_THIS_FOLDER = settings(
    max_examples=600, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@IN_THIS_FOLDER
@given(tables("manifest.csv"), tables("labels.csv"), tables("actions.csv"))
def test_inputs_are_read_or_refused_by_name(
    folder: Path, manifest: bytes, labels: bytes, actions: bytes
) -> None:
    paths = [folder / name for name in ("manifest.csv", "labels.csv", "actions.csv")]
    for path, data in zip(paths, (manifest, labels, actions), strict=True):
        path.write_bytes(data)
    for given_paths in (paths, paths[:2], paths[:1]):
        refused_or(lambda given_paths=given_paths: load_inputs(*given_paths), *paths)


@IN_THIS_FOLDER
@given(tables("manifest.csv"))
def test_an_accepted_manifest_stays_in_its_folder(folder: Path, data: bytes) -> None:
    path = folder / "manifest.csv"
    path.write_bytes(data)
    inputs = refused_or(lambda: load_inputs(path), path)
    if inputs is None:
        return
    features = FeaturesFolder(folder / "features")
    movies = inputs.manifest.movies  # type: ignore[attr-defined]
    for movie in movies:
        assert features.shard(movie.movie_id).resolve().parent == features.shards
        assert features.parts(movie.movie_id).resolve().parent == features.root / "parts"
        for person in movie.persons:
            assert place_of(person.person_id).count("/") == 1 and not place_of(person.person_id).endswith(
                "/."
            )
            assert 0 <= person.start_s < person.end_s and not math.isnan(person.end_s)
    # On a file system that ignores case, too.
    assert len({movie.movie_id.lower() for movie in movies}) == len(movies)


@IN_THIS_FOLDER
@given(tables("splits.csv"), tables("failures.csv"))
def test_what_a_features_folder_holds_is_read_or_refused_by_name(
    folder: Path, folds: bytes, failures: bytes
) -> None:
    for name, data, read in (("splits.csv", folds, load_folds), ("failures.csv", failures, read_failures)):
        path = folder / name
        path.write_bytes(data)
        refused_or(lambda read=read, path=path: read(path), path)


@pytest.mark.parametrize("name", list(HEADERS))
def test_what_is_no_table_is_refused_by_name(folder: Path, name: str, tmp_path: Path) -> None:
    read = {"splits.csv": load_folds, "failures.csv": read_failures}.get(name, lambda path: load_inputs(path))
    for made in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(InputError, match=str(made)):
            read(made)
    for data in (b"", b"\x00" * 100, b"\xff" * 100, b"\n\n\n", b"\x89HDF\r\n\x1a\n" + bytes(64)):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match=name):
            read(path)
