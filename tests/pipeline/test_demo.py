"""The demo as `make demo` runs it, in small, and a segmenter trained, measured and used on what it made."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from viewed import given, intervals

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.commands.train import evaluate, predict
from rhas.pipeline.programs.demo import Size, run_demo
from rhas.pipeline.views.picture import draw_movie
from rhas.pipeline.world.writing import Truth, truth_path


def test_the_demo_leaves_shards_and_pictures_and_a_page(made_demo: Path) -> None:
    names = [f"world_{number:04d}" for number in range(5)]
    assert FeaturesReader(made_demo / "features").movie_ids == names
    picture = np.asarray(Image.open(made_demo / "shard.png").convert("RGB"))
    assert picture.shape[1] > 800 and picture.std() > 20
    assert (made_demo / "report" / "index.html").stat().st_size > 100_000


def test_the_demo_ends_with_a_page_of_what_was_predicted(made_demo: Path) -> None:
    _, index = given(made_demo / "view" / "data" / "index.js")
    tested = json.loads((made_demo / "run" / "data.json").read_text())["samples"]["test"]
    assert {movie["id"] for movie in index["movies"]} == {name.split("/")[0] for name in tested}
    for number, movie in enumerate(index["movies"]):
        _, persons = given(made_demo / "view" / "data" / str(number) / "labels.js")
        assert sum(map(len, (intervals(own, index["actions"]) for own in persons))) > 0
        _, described = given(made_demo / "view" / "data" / str(number) / "movie.js")
        original = made_demo / "movies" / "movies" / f"{movie['id']}.mp4"
        assert (made_demo / "view" / described["media"]).read_bytes() == original.read_bytes()
        assert any(person["predicted"] for person in described["persons"])


def test_a_second_demo_goes_on_from_what_is_there(made_demo: Path) -> None:
    shards = {path: path.stat().st_mtime_ns for path in (made_demo / "features" / "shards").glob("*.h5")}
    movies = {path: path.stat().st_mtime_ns for path in (made_demo / "movies" / "movies").glob("*.mp4")}
    assert run_demo(made_demo, Size(movies=5, seconds=(8, 10), epochs=8)) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in (shards | movies).items())
    metrics = json.loads((made_demo / "run" / "metrics.json").read_text())
    assert metrics["test"]["evaluations"] == 1  # the test split isn't measured again


def test_the_small_detector_finds_the_persons_of_coded_movies(made_demo: Path) -> None:
    """Boxes of the shards against the world's truth: most of them are the referred person's."""
    good, seen = 0, 0
    for series in FeaturesReader(made_demo / "features").persons():
        truth = Truth.load(truth_path(made_demo / "movies", series.movie_id))
        person = int(series.person_id.removeprefix("p")) - 1
        at = np.round(series.time_s * 15).astype(int)
        clear = (truth.inside * truth.visible)[at, person] > 0.5
        boxes, true = series.box[...], truth.boxes[at, person]
        low, high = np.maximum(boxes[:, :2], true[:, :2]), np.minimum(boxes[:, 2:], true[:, 2:])
        shared = np.clip(high - low, 0, None).prod(1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (true[:, 2:] - true[:, :2]).prod(1) - shared
        good += int((np.nan_to_num(shared / union)[clear] > 0.5).sum())
        seen += int(clear.sum())
        assert set(series.status.tolist()) <= {s.value for s in FrameStatus} - {FrameStatus.UNDECODABLE.value}
    assert seen > 200 and good / seen > 0.6


def test_a_picture_needs_neither_labels_nor_the_movie(made_demo: Path, tmp_path: Path) -> None:
    features, name = tmp_path / "features", "world_0003"
    (features / "shards").mkdir(parents=True)
    source = made_demo / "features"
    for path in (source / "config.json", source / "shards" / f"{name}.h5"):
        (features / path.relative_to(source)).write_bytes(path.read_bytes())
    movie = made_demo / "movies" / "movies" / f"{name}.mp4"
    hidden = movie.rename(movie.with_suffix(".hidden"))
    try:
        draw_movie(features, name, tmp_path / "movie.png")
    finally:
        hidden.rename(movie)
    assert (tmp_path / "movie.png").stat().st_size > 10_000


def test_a_run_is_measured_beside_its_baselines(made_demo: Path) -> None:
    run = made_demo / "run"
    evaluate(run, "val")  # as `rhas eval --split val`; the demo has measured the test split
    table = (run / "results.md").read_text()
    for row in ("constant", "prior", "person"):
        assert row in table
    assert "test" in json.loads((run / "metrics.json").read_text())


def test_a_movie_and_a_sentence_become_segments(made_demo: Path, tmp_path: Path) -> None:
    movie = made_demo / "movies" / "movies" / "world_0002.mp4"
    trained_on = FeaturesReader(made_demo / "features").person("world_0002", "p1")
    predict(made_demo / "run", movie=movie, person=trained_on.reference, out=tmp_path)
    rows = list(csv.DictReader((tmp_path / "segments.csv").open()))
    assert all(
        row["movie_id"] == "movie" and 0 <= float(row["start_s"]) < float(row["end_s"]) <= 10.01
        for row in rows
    )
    assert (tmp_path / "timelines" / "movie" / "person.png").exists()
    # The same movie as it was extracted for training gives the same features, and so the same scores.
    ours = FeaturesReader(tmp_path / "features").person("movie", "person")
    np.testing.assert_allclose(ours.holistic[...], trained_on.holistic[...], atol=2e-3)
    # Another one that is none has no answer, though the folder has this one's.
    (tmp_path / "none.mp4").write_text("nothing")
    with pytest.raises(InputError, match=r"none\.mp4: expected a movie that can be decoded"):
        predict(made_demo / "run", movie=tmp_path / "none.mp4", person="the tall man", out=tmp_path)
