"""One label in every frame: softmax models, sample rates, and the best class in place of a threshold."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_segmenter import Toy, ToyConfig, toy_config
from training_folders import labelled_movie, write_training_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.train.config import TrainConfig
from rhas.train.data import load_dataset
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import train
from rhas.train.metrics import Video, evaluate, label_sets
from rhas.train.scoring.inference import score, stitch
from rhas.train.scoring.prediction import predict_run

SETTINGS = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "link": "softmax",
    "diffusion": {"sampling_steps": 2},
}


def softmax_config(*overrides: str) -> TrainConfig:
    shared = {"model": "actdiff", "settings": SETTINGS, "epochs": 2}
    return toy_config("data.window=40", "data.sample_rate=3", *overrides, **shared)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Either of two actions in every frame."""
    movies = [labelled_movie(f"m{i}", 40 + i) for i in range(10)]
    labels = (Interval("running", 0, 1.5), Interval("walking", 1.5, 60))
    root = tmp_path_factory.mktemp("single")
    write_training_folder(root, movies, {person.key: labels for movie in movies for person in movie.persons})
    return root


def test_label_sets_of_the_best_class() -> None:
    scores = np.array([[0.1, 0.3], [0.5, 0.5], [0.0, 0.0]])
    assert label_sets(scores, None).tolist() == [[False, True], [True, False], [True, False]]
    assert label_sets(scores, 0.3).tolist() == [[False, True], [True, True], [False, False]]
    assert label_sets(np.zeros((0, 2)), None).shape == (0, 2)


def test_without_a_threshold_scores_are_the_usual_single_label_ones() -> None:
    rng = np.random.default_rng(0)
    labels = np.eye(5, dtype=bool)[np.repeat(rng.integers(5, size=30), 4)]
    scores = rng.random((120, 5)) + 0.5 * labels
    report = evaluate([Video(scores, labels, np.ones(120, bool), "video")], None)
    assert report.half is None and report.acc == report.top1.mof == report.chosen.exact
    assert report.chosen.f1_micro == report.top1.f1 and report.chosen.edit == report.top1.edit
    assert 0 < report.top1.mof < 100


def test_a_softmax_model_is_trained_measured_and_used(features: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = softmax_config("postprocess.purge=2")
    assert train(features, run, config, "cpu").tau is None
    measured = evaluate_run(run, "test", device="cpu")
    model = measured["model"]
    assert model["half"] is None and model["chosen"]["f1_micro@50"] == model["top1"]["f1@50"]
    with (run / "results.csv").open() as file:
        assert {row["tau"] for row in csv.DictReader(file) if row["evaluator"] == "rhas"} == {""}
    assert "best class" in (run / "results.md").read_text()
    assert json.loads((run / "metrics.json").read_text())["val"]["checkpoint"]["readout"]["tau"] is None
    segments = predict_run(run, features, tmp_path / "out", device="cpu")
    ends: dict[tuple[str, str], float] = {}
    for segment in segments:  # one after the other, and no frame without
        person = segment.movie_id, segment.person_id
        assert segment.start_s == pytest.approx(ends.get(person, segment.start_s))
        ends[person] = segment.end_s
    assert len(ends) == 20


@torch.no_grad()
def test_every_offset_counts_in_every_frame(features: Path) -> None:
    config = toy_config("data.window=40", "data.sample_rate=3")
    model = Toy(6, 2, ToyConfig(noise=0.0)).eval()
    model.predict = lambda batch, generators: (
        model.linear(batch.holistic_BFT).sigmoid() * batch.mask_BT[:, None]
    )  # type: ignore[method-assign]
    samples = load_dataset(features, config.data).splits["train"]
    for window, sample in zip(score(model, samples, config), samples, strict=True):
        expected = model.linear(sample.holistic.T).sigmoid().T.numpy()
        blocks = [expected[i : i + 3].mean(axis=0) for i in range(0, len(expected), 3)]
        np.testing.assert_allclose(
            window.heads["model"], np.repeat(blocks, 3, axis=0)[: len(expected)], rtol=1e-5
        )
    assert sum(len(person.covered) for person in stitch(score(model, samples, config))) >= 40


def test_frames_of_several_labels_or_none_are_named(features: Path, tmp_path: Path) -> None:
    movies = [labelled_movie(f"m{i}", 40) for i in range(10)]
    labels = {person.key: (Interval("running", 0, 60),) for movie in movies for person in movie.persons}
    labels["m3", "a"] = (Interval("running", 0, 60), Interval("walking", 1, 1.5))
    labels["m4", "a"] = (Interval("running", 0.5, 60),)
    write_training_folder(tmp_path / "features", movies, labels)
    with pytest.raises(InputError) as caught:
        train(tmp_path / "features", tmp_path / "run", softmax_config(), "cpu")
    several, none = sorted(str(problem) for problem in caught.value.problems)[::-1]
    assert "got '2 at 1.000 s in m3/a/0" in several and "got '0 at 0.000 s in m4/a/0" in none
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"postprocess\.purge: got 4"):
        train(features, tmp_path / "other", toy_config("postprocess.purge=4"), "cpu")
