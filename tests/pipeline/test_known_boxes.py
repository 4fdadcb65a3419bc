"""A run whose persons came from a table of boxes: a new movie needs boxes of its own, and they are no other model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from feature_folders import make_movie, write_folder

from rhas.extract.config import load_config
from rhas.manifests.common.errors import InputError
from rhas.pipeline.commands.extract import overrides
from rhas.pipeline.programs.training import movie_predictions, predict_movie
from rhas.train.runs.run import check_extraction


def test_a_new_movie_is_refused_with_what_to_do(tmp_path: Path) -> None:
    known = [
        "detector.implementation=boxes",
        "detector.weights=world/boxes.csv",
        "detector.refine=null",
        "tracks.implementation=frames",
    ]
    config = load_config("mini", known)
    (tmp_path / "data.json").write_text(json.dumps({"extraction": config.to_dict(), "actions": ["walking"]}))
    movie = tmp_path / "movie.mp4"
    movie.touch()
    with pytest.raises(InputError, match=r"world/boxes\.csv.*--detector BOXES\.csv.*--shards FEATURES"):
        predict_movie(tmp_path, movie, "the tall man", tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("detector", ["boxes.csv", "theirs/", "owner/model", "released.pth"])
def test_the_net_of_a_preset_that_makes_boxes_exact_goes_with_its_detector(detector: str) -> None:
    assert load_config("mini", overrides(None, None, None, None)).detector.refine == "shipped:mini"
    own = load_config("mini", overrides(None, detector, None, None))
    assert own.detector.refine is None and own.detector.weights == detector
    net = overrides(None, "theirs/", None, ["detector.refine=net/"])
    assert load_config("mini", net).detector.refine == "net/"


@pytest.mark.parametrize(
    ("implementation", "other", "refused"),
    [
        ("boxes", "detector", False),
        ("boxes", "encoder", True),
        ("transformers", "detector", True),
    ],
)
def test_other_boxes_are_not_another_model(
    tmp_path: Path, implementation: str, other: str, refused: bool
) -> None:
    folder = write_folder(tmp_path / "f", [make_movie("m1", samples=8)])
    record = json.loads(folder.config.read_text())
    record["config"]["detector"] = {"implementation": implementation}
    folder.config.write_text(json.dumps(record))
    models = {name: dict(model) for name, model in record["models"].items()}
    models[other]["hash"] = "other"
    run: Any = SimpleNamespace(
        data={"models": models, "extraction": record["config"]}, folder=SimpleNamespace(root="runs/a")
    )
    if refused:
        with pytest.raises(InputError, match=f"another {other}.hash"):
            check_extraction(folder.root, run)
    else:
        check_extraction(folder.root, run)


def test_predictions_for_a_person_of_a_movie_have_a_folder_of_their_own(tmp_path: Path) -> None:
    video = Path("/somewhere/a movie.mp4")
    assert (
        movie_predictions(tmp_path, video, "the man, left") == tmp_path / "predictions-a-movie-the-man-left"
    )
    long = [movie_predictions(tmp_path, video, "人" * 300 + end) for end in ("a", "b")]
    for folder in long:
        folder.mkdir()
    assert len(set(long)) == 2


@pytest.mark.parametrize(
    "name", ["boxes #1.csv", "a: b", "[x]", "2024", "null", "/data/😀/ä", "'q'", '"', "~/x"]
)
def test_names_on_the_command_line_come_through_as_they_are(name: str) -> None:
    config = load_config("mini", overrides(None, name, name, None))
    assert (config.detector.weights, config.encoder.weights) == (name, name)
