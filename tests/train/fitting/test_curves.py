"""Learning curves: each row once, however often a run was taken up; and what a validation measures."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recording_callback import Record
from toy_segmenter import Toy, ToyConfig, toy_config, toy_features

from rhas.train.data import Batch, collate, load_dataset
from rhas.train.data.generators import Generators
from rhas.train.fitting.curves import COLUMNS, Curves
from rhas.train.fitting.loop import Step
from rhas.train.fitting.training import train
from rhas.train.fitting.validation import mean_loss, validate
from rhas.train.metrics import ReadOut, evaluate
from rhas.train.runs.run import Validation
from rhas.train.scoring.inference import score, stitch


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path / "curves.csv").open() as file:
        return list(csv.DictReader(file))


def test_curves_have_what_training_told(features: Path, tmp_path: Path) -> None:
    record = Record()
    train(features, tmp_path, toy_config(), "cpu", [record])
    rows = rows_of(tmp_path)
    steps = [row for row in rows if row["split"] == "train"]
    assert [
        (int(r["step"]), int(r["epoch"]), float(r["loss"]), float(r["loss/bce"]), float(r["gradient_norm"]))
        for r in steps
    ] == [(s.step, s.epoch, s.losses["total"], s.losses["bce"], s.gradient_norm) for s in record.steps]
    assert {row["lr"] for row in steps} == {"0.05"} and {row["edit"] for row in steps} == {""}
    told = [v for v, _ in record.validations]
    assert [
        (int(r["step"]), float(r["loss"]), float(r["frame_mAP"]), float(r["f1_macro_50"]), float(r["edit"]))
        for r in rows
        if r["split"] == "val"
    ] == [(v.step, v.loss, v.frame_mAP, v.f1_macro_50, v.edit) for v in told]
    with Image.open(tmp_path / "curves.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_each_row_is_there_once_after_kills(features: Path, tmp_path: Path) -> None:
    """Rows behind the checkpoint, and half of one, are what a kill leaves."""
    train(features, tmp_path / "whole", toy_config("epochs=4"), "cpu")
    run = tmp_path / "run"
    train(features, run, toy_config("steps=5"), "cpu")
    kept = shutil.copytree(run / "checkpoints", tmp_path / "kept")
    train(features, run, toy_config("epochs=3"), "cpu")
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(kept, run / "checkpoints")
    with (run / "curves.csv").open("a") as file:
        file.write("19,4,tra")
    train(features, run, toy_config("epochs=4"), "cpu")
    whole, rows = rows_of(tmp_path / "whole"), rows_of(run)
    assert [row for row in rows if row["split"] == "train"] == [r for r in whole if r["split"] == "train"]
    validations = [row["step"] for row in rows if row["split"] == "val"]
    assert validations == ["5", *(row["step"] for row in whole if row["split"] == "val")]


def test_a_loss_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    curves = Curves(tmp_path)
    curves.started(0, 3)
    curves.stepped(Step(1, 3, 1, {"a": 1.0, "total": 1.0}, 0.5, 0.1))
    curves.stepped(Step(2, 3, 1, {"a": 1.0, "b": 2.0, "total": 3.0}, 0.5, 0.1))
    curves.validated(Validation(2, 1, ReadOut(None), 50.0), True)
    rows = rows_of(tmp_path)
    assert list(rows[0]) == [*COLUMNS, "loss/a", "loss/b"]
    assert [row["loss/b"] for row in rows] == ["", "2.0", ""]
    assert [(row["loss"], row["tau"]) for row in rows] == [("1.0", ""), ("3.0", ""), ("", "")]


def test_the_validation_loss_is_the_mean_over_samples(features: Path) -> None:
    """Of a model without draws: binary cross entropy as its formula has it, in numpy, sample by sample."""
    config = toy_config("batch=3")
    samples = load_dataset(features, config.data).splits["val"]
    model = Toy(6, 2, ToyConfig(noise=0.0))
    weight, bias = model.linear.weight.detach().numpy()[:, :, 0], model.linear.bias.detach().numpy()  # type: ignore[union-attr]
    losses = []
    for sample in samples:
        logits = sample.holistic.numpy().astype(np.float64) @ weight.T + bias
        labels, valid = sample.labels.numpy(), sample.valid.numpy()
        bce = np.where(labels, np.log1p(np.exp(-logits)), np.log1p(np.exp(logits))).mean(axis=1)
        losses.append((bce * valid).sum() / max(valid.sum(), 1))
    expected = np.mean(losses) + 1e-3 * np.square(weight.astype(np.float64)).sum()
    assert mean_loss(model, samples, config) == pytest.approx(expected, rel=1e-5)


def test_a_validation_draws_the_same_again_and_drops_nothing(features: Path) -> None:
    config = toy_config("batch=3")
    samples = load_dataset(features, config.data).splits["val"]
    model = Toy(6, 2, ToyConfig(noise=1.0)).train()
    modes: list[bool] = []
    losses = model.losses

    def watched(batch: Batch, generators: Generators) -> dict[str, torch.Tensor]:
        modes.append(model.training)
        return losses(batch, generators)

    model.losses = watched  # type: ignore[method-assign]
    first = mean_loss(model, samples, config)
    assert mean_loss(model, samples, config) == first and not any(modes)
    assert mean_loss(model, samples, toy_config("batch=1")) == pytest.approx(first, rel=1e-6)
    alone = [
        sum(
            float(part.detach())
            for part in losses(batch, batch.generators("cpu", config.seed, "validation")).values()
        )
        for batch in (collate([sample]) for sample in samples)
    ]
    assert math.fsum(alone) / len(alone) == pytest.approx(first, rel=1e-6)


def test_a_validation_has_the_metrics_of_its_threshold(features: Path) -> None:
    config = toy_config()
    samples = load_dataset(features, config.data).splits["val"]
    torch.manual_seed(0)
    model = Toy(6, 2, ToyConfig())
    found = validate(model, samples, config, 7, 2)
    videos = [
        person.measured(samples.vocabulary).video(found.readout)
        for person in stitch(score(model, samples, config))
    ]
    report = evaluate(videos, found.tau)
    assert (found.step, found.epoch) == (7, 2)
    assert (found.f1_macro_50, found.frame_mAP, found.edit) == (
        report.chosen.f1_macro[50],
        report.frame_mAP,
        report.chosen.edit,
    )


def test_tensorboard_has_the_same(features: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = Record()
    train(features, tmp_path, toy_config("epochs=2"), "cpu", [record])
    log = EventAccumulator(str(tmp_path / "logs")).Reload()
    for name in ("loss", "frame_mAP", "edit", "f1_macro_50"):
        (event,) = log.Scalars(f"validation/{name}")
        assert event.value == pytest.approx(getattr(record.validations[0][0], name))
