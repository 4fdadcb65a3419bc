"""The demo as `make demo` runs it, and a segmenter trained, measured and used on what it made."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manifests.reader import FeaturesReader
from pipeline.cli import evaluate, predict
from pipeline.demo import run_demo
from pipeline.picture import draw_film

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    assert run_demo(out) == 0
    return out


@pytest.fixture(scope="module")
def trained(made: Path) -> Path:
    return made / "run"


def test_the_demo_leaves_shards_and_a_picture(made: Path) -> None:
    assert FeaturesReader(made / "features").movie_ids == ["film_0", "film_1", "film_2", "film_3"]
    picture = np.asarray(Image.open(made / "film_0.png").convert("RGB"))
    assert picture.shape[1] > 800 and picture.std() > 20


def test_a_picture_needs_neither_labels_nor_the_film(made: Path, tmp_path: Path) -> None:
    features = tmp_path / "features"
    (features / "shards").mkdir(parents=True)
    for path in (made / "features" / "config.json", made / "features" / "shards" / "film_3.h5"):
        (features / path.relative_to(made / "features")).write_bytes(path.read_bytes())
    film = made / "films" / "film_3.mp4"
    hidden = film.rename(film.with_suffix(".hidden"))
    try:
        draw_film(features, "film_3", tmp_path / "film_3.png")
    finally:
        hidden.rename(film)
    assert (tmp_path / "film_3.png").stat().st_size > 10_000


def test_a_run_is_measured_beside_its_baselines(trained: Path) -> None:
    evaluate(trained, "val")  # as `rhas eval --split val`; the demo has measured the test split
    table = (trained / "results.md").read_text()
    for row in ("constant", "prior", "person"):
        assert row in table
    assert "test" in json.loads((trained / "metrics.json").read_text())


def test_a_film_and_a_sentence_become_segments(made: Path, trained: Path) -> None:
    film, out = made / "films" / "film_2.mp4", made / "predicted"
    predict(trained, movie=film, person="the person in the green shirt", out=out)
    rows = list(csv.DictReader((out / "segments.csv").open()))
    assert all(
        row["movie_id"] == "film" and 0 <= float(row["start_s"]) < float(row["end_s"]) <= 12.01
        for row in rows
    )
    assert (out / "timelines" / "film" / "person.png").exists()
    # The same film as it was extracted for training gives the same features, and so the same scores.
    ours = FeaturesReader(out / "features").person("film", "person")
    trained_on = FeaturesReader(made / "features").person("film_2", "green")
    np.testing.assert_allclose(ours.holistic[...], trained_on.holistic[...], atol=2e-3)
