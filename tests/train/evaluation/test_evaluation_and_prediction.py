"""Evaluation and prediction of a run: tables, timelines, stitching, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import median_filter
from toy_segmenter import toy_config, toy_features

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.train.data import load_dataset
from rhas.train.data.rasterise import rasterise
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.evaluation.persons import read_person_counts
from rhas.train.fitting.training import train
from rhas.train.metrics import ReadOut
from rhas.train.runs.checkpoint import read_tensors
from rhas.train.runs.run import open_run
from rhas.train.scoring.inference import Series, WindowHeads, read_persons, score, stitch
from rhas.train.scoring.prediction import predict_run
from rhas.train.scoring.timeline import draw_timeline


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(features, run)."""
    root = tmp_path_factory.mktemp("made")
    train(toy_features(root / "features"), root / "run", toy_config(), "cpu")
    return root / "features", root / "run"


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(made[1], tmp_path / "run")


def test_training_measures_validation_and_nothing_else(run: Path) -> None:
    assert list(json.loads((run / "metrics.json").read_text())) == ["val"]
    assert "these numbers flatter" in (run / "results.md").read_text()
    assert list((run / "timelines" / "val").rglob("*.png"))


def test_persons_add_up_to_the_split(run: Path) -> None:
    """Recounted from the file by its own description, against what metrics.json says of the split as a whole."""
    measured = evaluate_run(run, "test", device="cpu")["model"]
    rows = pd.read_csv(run / "persons-test.csv")
    assert len(rows[["movie_id", "person_id"]].drop_duplicates()) == measured["videos"]
    sums = rows.groupby("action")[["true", "predicted", "hits"]].sum()
    true = sums[sums["true"] > 0]
    f1 = 200 * true["hits"] / (true["true"] + true["predicted"])
    assert f1.mean() == pytest.approx(measured["chosen"]["f1_macro@50"])
    for row in measured["per_class"]:
        if row["class"] in sums.index:
            assert sums.loc[row["class"], "true"] == row["true_segments"]
            assert sums.loc[row["class"], "predicted"] == row["predicted_segments"]
    broken = run / "broken.csv"
    broken.write_text("movie,movie_id,person_id,action,true,predicted,hits\nm,m,p,NA,2,1,1\nm,m,p,go,2,1,2\n")
    with pytest.raises(InputError, match=r"broken.csv, row 3, column hits: got 2"):
        read_person_counts(broken)


def test_results_have_the_baselines_beside_the_model(run: Path) -> None:
    measured = evaluate_run(run, "test", device="cpu")
    assert measured["baselines"].keys() == {"constant", "prior", "person_mode", "second_annotator"}
    assert measured["evaluations"] == 1
    tau = measured["checkpoint"]["readout"]["tau"]
    with (run / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    ours = [row for row in rows if row["evaluator"] == "rhas"]
    systems = ["model", "constant", "prior", "person_mode", "second_annotator"]
    assert [row["system"] for row in ours if float(row["tau"]) == tau] == systems
    assert [row["system"] for row in ours if float(row["tau"]) == 0.5] == systems
    assert float(ours[0]["macro F1@50"]) == measured["model"]["chosen"]["f1_macro@50"]
    theirs = [row for row in rows if "compatibility" in row["evaluator"]]
    assert [row["system"] for row in theirs] == ["model", "noisy_constant"]
    assert all(row["macro F1@50"] == "" and row["F1@50"] != "" for row in theirs)
    text = (run / "results.md").read_text()
    assert text.index("## val") < text.index("## test")
    assert "Not a measure of segmentation" in text and "constant + 1e-6 noise" in text
    assert "person mode (knows the truth)" in text
    again = evaluate_run(run, "test", device="cpu")
    assert again["evaluations"] == 2
    assert again["model"] == measured["model"] and again["baselines"] == measured["baselines"]


def test_every_promised_frame_is_predicted_once_and_in_order(
    made: tuple[Path, Path], run: Path, tmp_path: Path
) -> None:
    features = made[0]
    segments = predict_run(run, features, tmp_path / "out", device="cpu")
    opened = open_run(run, "cpu")
    with (tmp_path / "out" / "segments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row.values()) for row in rows] == [tuple(map(str, segment)) for segment in segments]
    persons = 0
    for series in FeaturesReader(features).persons():
        promised = series.status != FrameStatus.OUTSIDE
        if not promised.any():
            continue
        persons += 1
        place = f"{series.movie_id}/{series.person_id}"
        tensors, record = read_tensors(tmp_path / "out" / "scores" / f"{place}.safetensors")
        at = tensors["promised"].numpy()
        assert np.array_equal(tensors["time_s"].numpy()[at], series.time_s[promised])
        assert (tmp_path / "out" / "timelines" / f"{place}.png").stat().st_size > 1000
        own = [s for s in segments if (s.movie_id, s.person_id) == (series.movie_id, series.person_id)]
        labels_TC, _ = rasterise(
            [Interval(s.action, s.start_s, s.end_s) for s in own],
            tensors["time_s"].numpy(),
            opened.vocabulary,
        )
        scores_TC = tensors["scores"].numpy()
        assert np.array_equal(labels_TC[at], scores_TC[at] >= record["tau"])
        assert not labels_TC[~at].any()
    assert persons == 8


def test_stitching_puts_windows_where_they_belong(made: tuple[Path, Path]) -> None:
    opened = open_run(made[1], "cpu")
    splits = load_dataset(made[0], opened.config.data).splits
    for samples in splits.values():
        windows = [
            WindowHeads(w, {"model": np.stack([np.arange(w.start, w.stop)] * 2, axis=1).astype(np.float32)})
            for w in samples.windows
        ]
        stitched = [person.read(ReadOut()) for person in stitch(windows)]
        assert len({series.name for series in stitched}) == len(stitched)
        assert sum(series.covered.sum() for series in stitched) == sum(len(w.heads["model"]) for w in windows)
        for series in stitched:
            numbers = series.clip.first + np.arange(len(series.covered))
            assert np.array_equal(series.scores[series.covered, 0], numbers[series.covered])
            assert not series.truth(opened.vocabulary)[1][~series.covered].any()


def test_scores_do_not_depend_on_the_batch(made: tuple[Path, Path], run: Path, tmp_path: Path) -> None:
    opened = open_run(run, "cpu")
    test = load_dataset(made[0], opened.config.data).splits["test"]
    one = list(score(opened.model, test, opened.config))
    other = list(score(opened.model, test, toy_config("batch=1")))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.heads["model"], b.heads["model"], rtol=0, atol=1e-6)
    predict_run(run, made[0], tmp_path / "out", "test", "cpu")
    for series in (person.read(opened.validation.readout) for person in stitch(one)):
        tensors, _ = read_tensors(tmp_path / "out" / "scores" / f"{series.name}.safetensors")
        np.testing.assert_allclose(tensors["scores"].numpy(), series.scores, rtol=0, atol=1e-6)


def test_a_run_is_read_otherwise_where_asked(made: tuple[Path, Path], run: Path) -> None:
    otherwise = ("readout.smoothing=median", "readout.width=5")
    own, other = open_run(run, "cpu"), open_run(run, "cpu", otherwise)
    assert other.validation.readout == replace(own.validation.readout, smoothing="median", width=5)
    test = load_dataset(made[0], own.config.data).splits["test"]
    pairs = list(zip(read_persons(own, test), read_persons(other, test), strict=True))
    assert pairs
    for plain, smooth in pairs:
        expected = np.stack([median_filter(column, 5, mode="nearest") for column in plain.scores.T], axis=1)
        np.testing.assert_array_equal(smooth.scores, expected)
    before = (run / "metrics.json").read_text()
    measured = evaluate_run(run, "test", device="cpu", overrides=otherwise)
    assert measured["checkpoint"]["readout"]["smoothing"] == "median"
    after = json.loads((run / "metrics.json").read_text())
    entry = "test with readout.smoothing=median, readout.width=5.0"
    assert after.pop(entry)["model"] == json.loads(json.dumps(measured["model"]))
    assert after == json.loads(before)
    with pytest.raises(InputError, match="heads: got 'encoder': expected heads of the model: model"):
        evaluate_run(run, "test", device="cpu", overrides=["readout.heads=[encoder]"])
    with pytest.raises(InputError, match=r"readout\.by_class"):
        open_run(run, "cpu", ["readout.by_class=true"])


def test_predicting_needs_no_labels(made: tuple[Path, Path], run: Path, tmp_path: Path) -> None:
    features = shutil.copytree(made[0], tmp_path / "features")
    with_labels = predict_run(run, features, tmp_path / "with", device="cpu")
    FeaturesFolder(features).labels.unlink()
    assert predict_run(run, features, tmp_path / "without", device="cpu") == with_labels


def test_what_does_not_fit_the_run_is_refused(made: tuple[Path, Path], run: Path, tmp_path: Path) -> None:
    features = made[0]
    with pytest.raises(InputError, match="features of size 6"):
        predict_run(run, toy_features(tmp_path / "other", size=5), tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match="one of train, val, test"):
        evaluate_run(run, "validation", device="cpu")
    with pytest.raises(InputError, match=r"samples\.test"):
        evaluate_run(run, "test", toy_features(tmp_path / "fewer", movies=3), "cpu")
    with pytest.raises(InputError, match="the folder of a run"):
        open_run(features)
    moved = shutil.copytree(features, tmp_path / "moved")
    config = FeaturesFolder(moved).config
    config.write_text(config.read_text().replace("e" * 64, "f" * 64))
    with pytest.raises(InputError, match=r"another encoder\.hash"):
        predict_run(run, moved, tmp_path / "out", device="cpu")


def test_timelines_have_a_row_for_each_action_that_occurs(made: tuple[Path, Path], tmp_path: Path) -> None:
    opened = open_run(made[1], "cpu")
    window = load_dataset(made[0], opened.config.data).splits["train"].windows[0]
    clip = window.clip
    frames = len(clip.status)
    scores_TC = np.zeros((frames, 3), dtype=np.float32)
    scores_TC[:5, 1] = 1
    series = Series(clip, scores_TC, np.ones(frames, dtype=bool))
    truth_TC = np.zeros((frames, 3), dtype=bool)
    truth_TC[3:9, 2] = True
    actions = ("a", "costs $5 and $x", "ß_1")
    truth = truth_TC, np.arange(frames) < frames - 2
    drawn = draw_timeline(tmp_path / "b" / "both.png", series, 0.5, actions, truth)
    assert drawn == ("costs $5 and $x", "ß_1")
    assert draw_timeline(tmp_path / "alone.png", series, 0.5, actions) == ("costs $5 and $x",)
    assert draw_timeline(tmp_path / "empty.png", series, 2.0, actions) == ()
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("b/both.png", "alone.png", "empty.png"))
