"""The folder of `rhas view`: what its files hold is what features, labels and predictions say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_persons
from typer.testing import CliRunner
from viewed import MOVIES, array, given, intervals, numbered_movie, write_viewed

from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.tables.labels import Interval
from rhas.pipeline.cli import app
from rhas.pipeline.viewer.page import page_files

LABELS = {
    ("m1", "a"): (
        Interval("walking", 0.1 + 0.2, 2 / 3),
        Interval("running", 1.0, 2.0),
        Interval("N/A", 3.0, 3.5),
    ),
    ("m2", "b"): (Interval("running", 1.1, 1.3),),
}


def rhas(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output if code in (0, 2) and not done.exception else f"{done.output}{done.exception}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("viewed")
    movies = [numbered_movie("m1"), numbered_movie("m2", "starts_at_12.mkv")]
    scores = {("m1", "a"): np.random.default_rng(0).random((40, 2))}
    features, predictions = write_viewed(root, movies, LABELS, scores)
    rhas("view", "--shards", features, "--predictions", predictions, "--out", root / "view")
    return root


def test_labels_and_predictions_are_there_to_the_bit(folder: Path) -> None:
    data = folder / "view" / "data"
    name, index = given(data / "index.js")
    assert name == "index" and [movie["id"] for movie in index["movies"]] == ["m1", "m2"]
    assert index["actions"] == ["running", "walking", "N/A"] and index["known"] == 3 and index["tau"] == 0.5
    for number, movie_id in enumerate(("m1", "m2")):
        name, movie = given(data / str(number) / "movie.js")
        assert name == f"movie/{number}" and movie["id"] == movie_id
        _, persons = given(data / str(number) / "labels.js")
        for own, columns in zip(movie["persons"], persons, strict=True):
            assert intervals(columns, index["actions"]) == list(LABELS.get((movie_id, own["id"]), ()))
    _, (a, b) = given(data / "0" / "predicted.js")
    rows = [
        line.split(",") for line in (folder / "predictions" / "segments.csv").read_text().splitlines()[1:]
    ]
    found = intervals(a, index["actions"])
    assert sorted((i.action, i.start_s, i.end_s) for i in found) == sorted(
        (action, float(start), float(end)) for _, _, action, start, end, _ in rows
    )
    means = {(action, float(start)): float(score) for _, _, action, start, _, score in rows}
    for interval, mean in zip(found, array(a["score"], "<f4"), strict=True):
        assert mean == pytest.approx(means[interval.action, interval.start_s], abs=1e-6)
    assert intervals(b, index["actions"]) == []


def test_boxes_statuses_and_scores_are_those_of_the_shard(folder: Path) -> None:
    data = folder / "view" / "data" / "0"
    _, movie = given(data / "movie.js")
    _, rows = given(data / "boxes-0.js")
    _, index = given(data.parent / "index.js")
    reader = FeaturesReader(folder / "features")
    for number, own in enumerate(movie["persons"]):
        series = reader.person("m1", own["id"])
        packed = array(rows[number], "u1").reshape(-1, 10)
        corners = packed[:, :8].copy().view("<u2").astype(float)
        seen = np.isfinite(series.box[:, 0])
        assert np.array_equal(corners[:, 0] != 65535, seen)
        np.testing.assert_allclose(corners[seen] / 65534, series.box[...][seen], atol=1 / 65534)
        np.testing.assert_allclose(packed[seen, 8] / 254, series.sure[...][seen], atol=1 / 508 + 1e-6)
        assert np.array_equal(packed[:, 9], series.status)
        _, tile = given(data / f"{number}-0-0.js")
        assert np.array_equal(array(tile["status"], "u1"), series.status)
        promised = series.time_s[series.status != 0]
        assert own["span"] == [promised[0], pytest.approx(promised[-1] + 0.1)]
    scores = np.random.default_rng(0).random((40, 2))
    _, tile = given(data / "0-0-0.js")
    for c, action in enumerate(("running", "walking")):
        row = array(tile[str(index["actions"].index(action))], "u1")
        np.testing.assert_allclose(row / 254, scores[:, c], atol=1 / 508 + 1e-6)
    assert movie["times"] == {"count": 40, "rate": 10.0} and movie["end"] == pytest.approx(4.0)


def test_a_movie_is_copied_where_browsers_play_it_and_else_a_proxy(folder: Path) -> None:
    view = folder / "view"
    (_, copied), (_, made) = (given(view / "data" / str(number) / "movie.js") for number in (0, 1))
    assert (
        not copied["proxy"] and (view / copied["media"]).read_bytes() == (MOVIES / "sound.mp4").read_bytes()
    )
    assert made["proxy"] and made["media"].endswith("-96.mp4") and made["offset"] == 0


def test_a_second_page_uses_the_movies_of_the_first_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "view"
    rhas("view", "--shards", folder / "features", "--out", out)
    before = {path: path.stat().st_mtime_ns for path in (out / "media").iterdir()}
    assert len(before) == 2
    said = rhas("view", "--shards", folder / "features", "--movie", "m2", "--out", out)
    after = {path: path.stat().st_mtime_ns for path in (out / "media").iterdir()}
    assert "a proxy of" not in said and after.items() <= before.items() and len(after) == 1
    _, index = given(out / "data" / "index.js")
    assert [movie["id"] for movie in index["movies"]] == ["m2"] and not index["predicted"]
    _, others = given(out / "data" / "others.js")
    assert others == [["m1", "a", i.action, i.start_s, i.end_s] for i in LABELS["m1", "a"]]


def test_something_else_is_never_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    said = rhas("view", "--shards", folder / "features", "--out", tmp_path, code=1)
    assert "a new folder, or one of rhas view" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_page_stays_where_a_new_one_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "view"
    rhas("view", "--shards", folder / "features", "--video", "none", "--out", out)
    before = (out / "data" / "index.js").read_bytes()
    rhas("view", "--shards", folder / "features", "--predictions", tmp_path, "--out", out, code=1)
    rhas("view", "--shards", folder / "features", "--run", tmp_path, "--out", out, code=1)
    said = rhas("view", "--shards", folder / "features", "--movie", "m3", "--out", out, code=1)
    assert "expected a movie of" in said and (out / "data" / "index.js").read_bytes() == before


def test_a_movie_that_is_gone_is_said_and_its_timelines_are_there(tmp_path: Path) -> None:
    movie = numbered_movie("m1")
    movie = type(movie)(
        **{**vars(movie), "video": str(tmp_path / "gone.mp4"), "persons": make_persons("m1", 40)}
    )
    features, _ = write_viewed(tmp_path, [movie], {("m1", "p1"): LABELS["m1", "a"]}, {})
    said = rhas("view", "--shards", features, "--out", tmp_path / "view")
    assert "there is no movie to show" in said
    _, own = given(tmp_path / "view" / "data" / "0" / "movie.js")
    assert own["media"] is None and "gone.mp4" in own["note"]
    spans = {person["id"]: person["span"] for person in own["persons"]}
    assert spans["late"] is None and spans["p1"] == [0.0, pytest.approx(4.0)]
    assert spans["p2"] == pytest.approx([1.6, 2.8])


def test_labels_and_boxes_alone(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"movie_id,video,person_id,reference,end_s\nm,{MOVIES / 'uneven.mp4'},p,the man,4\n")
    (tmp_path / "actions.csv").write_text("action\nwalk\n")
    (tmp_path / "labels.csv").write_text("movie_id,person_id,action,start_s,end_s\nm,p,walk,0.25,1\n")
    (tmp_path / "boxes.csv").write_text(
        "movie_id,person_id,time_s,x1,y1,x2,y2\nm,p,0,0.1,0.2,0.3,0.4\nm,p,1,0.3,0.2,0.5,0.4\n"
    )
    rhas("view", "--movies", manifest, "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "view")
    data = tmp_path / "view" / "data"
    _, movie = given(data / "0" / "movie.js")
    _, (rows,) = given(data / "0" / "boxes-0.js")
    packed = array(rows, "u1").reshape(-1, 10)
    corners = packed[:, :8].copy().view("<u2") / 65534
    assert corners[3, 0] == pytest.approx(0.1 + 0.2 * 3 / 15, abs=1e-4)  # between two rows, at 0.2 s
    assert (packed[16:, :8] == 255).all() and (packed[:, 8:] == 255).all()
    assert movie["persons"][0]["span"] == [0.0, pytest.approx(4.0)] and not movie["persons"][0]["tracked"]
    _, (columns,) = given(data / "0" / "labels.js")
    assert intervals(columns, ["walk"]) == [Interval("walk", 0.25, 1.0)]


@pytest.mark.parametrize(
    "options",
    [
        (), ("--shards", "a", "--movies", "b"), ("--movies", "b", "--run", "r"), ("--shards", "a", "--boxes", "b"),
        ("--shards", "a", "--run", "r", "--predictions", "p"), ("--shards", "a", "--split", "test"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["view", *options]).exit_code == 2


def test_the_page_asks_for_nothing_but_its_own_files() -> None:
    files = page_files()
    html = files["index.html"].decode()
    named = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sorted(named) == sorted(f"page/{name}" for name in files if name != "index.html")
    for name, content in files.items():
        text = content.decode()
        assert "//" not in re.sub(r"(^|\s)//[^\n]*", "", text), name  # neither http:// nor //host
        for forbidden in (
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "fetch(",
            "XMLHttp",
            "import(",
        ):
            assert forbidden not in text, (name, forbidden)
