"""The demo as `make demo` runs it, in small, and a segmenter trained, measured and used on what it made."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.commands.train import evaluate, predict
from rhas.pipeline.programs.demo import Size, run_demo
from rhas.pipeline.views.picture import draw_film
from rhas.pipeline.world.writing import Truth, truth_path

pytestmark = pytest.mark.usefixtures("ray_here")


def test_the_demo_leaves_shards_and_pictures_and_a_page(made_demo: Path) -> None:
    names = [f"world_{number:04d}" for number in range(5)]
    assert FeaturesReader(made_demo / "features").movie_ids == names
    picture = np.asarray(Image.open(made_demo / "shard.png").convert("RGB"))
    assert picture.shape[1] > 800 and picture.std() > 20
    assert (made_demo / "report" / "index.html").stat().st_size > 100_000


def test_a_second_demo_goes_on_from_what_is_there(made_demo: Path) -> None:
    shards = {path: path.stat().st_mtime_ns for path in (made_demo / "features" / "shards").glob("*.h5")}
    films = {path: path.stat().st_mtime_ns for path in (made_demo / "films" / "films").glob("*.mp4")}
    assert run_demo(made_demo, Size(films=5, seconds=(8, 10), epochs=8)) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in (shards | films).items())
    metrics = json.loads((made_demo / "run" / "metrics.json").read_text())
    assert metrics["test"]["evaluations"] == 1  # the test split isn't measured again


def test_the_small_detector_finds_the_persons_of_coded_films(made_demo: Path) -> None:
    """Boxes of the shards against the world's truth: most of them are the referred person's."""
    good, seen = 0, 0
    for series in FeaturesReader(made_demo / "features").persons():
        truth = Truth.load(truth_path(made_demo / "films", series.movie_id))
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


def test_a_picture_needs_neither_labels_nor_the_film(made_demo: Path, tmp_path: Path) -> None:
    features, name = tmp_path / "features", "world_0003"
    (features / "shards").mkdir(parents=True)
    source = made_demo / "features"
    for path in (source / "config.json", source / "shards" / f"{name}.h5"):
        (features / path.relative_to(source)).write_bytes(path.read_bytes())
    film = made_demo / "films" / "films" / f"{name}.mp4"
    hidden = film.rename(film.with_suffix(".hidden"))
    try:
        draw_film(features, name, tmp_path / "film.png")
    finally:
        hidden.rename(film)
    assert (tmp_path / "film.png").stat().st_size > 10_000


def test_a_run_is_measured_beside_its_baselines(made_demo: Path) -> None:
    run = made_demo / "run"
    evaluate(run, "val")  # as `rhas eval --split val`; the demo has measured the test split
    table = (run / "results.md").read_text()
    for row in ("constant", "prior", "person"):
        assert row in table
    assert "test" in json.loads((run / "metrics.json").read_text())


def test_a_film_and_a_sentence_become_segments(made_demo: Path, tmp_path: Path) -> None:
    film = made_demo / "films" / "films" / "world_0002.mp4"
    trained_on = FeaturesReader(made_demo / "features").person("world_0002", "p1")
    predict(made_demo / "run", movie=film, person=trained_on.reference, out=tmp_path)
    rows = list(csv.DictReader((tmp_path / "segments.csv").open()))
    assert all(
        row["movie_id"] == "film" and 0 <= float(row["start_s"]) < float(row["end_s"]) <= 10.01
        for row in rows
    )
    assert (tmp_path / "timelines" / "film" / "person.png").exists()
    # The same film as it was extracted for training gives the same features, and so the same scores.
    ours = FeaturesReader(tmp_path / "features").person("film", "person")
    np.testing.assert_allclose(ours.holistic[...], trained_on.holistic[...], atol=2e-3)
