"""Data sets of others, from their files to a measured fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_datasets import write_mstcn, write_multilabel
from toy_segmenter import toy_config

from rhas.manifests.imports.dataset import write_dataset
from rhas.manifests.imports.mstcn import read_mstcn
from rhas.manifests.imports.multilabel import MultilabelOptions, read_multilabel
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.train.config import load_config
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import train

SMALL = {
    "actdiff-50salads": (
        "settings.decoder.width=8",
        "settings.decoder.layers=2",
        "settings.encoder.layers=3",
    ),
    "actfusion-gtea": ("settings.decoder.width=8", "settings.decoder.layers=2", "settings.encoder.layers=3"),
    "asquery-breakfast": (
        "settings.network.width=8",
        "settings.network.heads=2",
        "settings.network.branch_dilations=[2, 4]",
    ),
    "fact-gtea": (
        "settings.network.width=16",
        "settings.network.frame_width=8",
        "settings.network.token_width=8",
        "settings.network.tokens=9",
    ),
    "ltcontext": ("settings.link=softmax", "settings.network.layers=2", "data.split=fold"),
}


@pytest.mark.parametrize("preset", SMALL)
def test_a_fold_is_trained_and_measured(preset: str, tmp_path: Path) -> None:
    videos = {f"v{i}": np.repeat(np.arange(6 + i) % 3, 9 + i).tolist() for i in range(7)}
    names = list(videos)
    write_mstcn(tmp_path / "in", videos, {1: (names[2:], names[:2]), 2: (names[:4], names[4:])})
    features = tmp_path / "features"
    write_dataset(FeaturesFolder(features), read_mstcn(tmp_path / "in", 30.0, 0))
    layers = ("settings.encoder.condition_layers=[0, 2]",) if preset.startswith("act") else ()
    overrides = (*SMALL[preset], *layers, "data.fold=2", "epochs=2", "data.window=4000")
    train(features, tmp_path / "run", load_config(preset, overrides), "cpu")
    measured = evaluate_run(tmp_path / "run", "test", device="cpu")
    assert measured["checkpoint"]["readout"]["tau"] is None and measured["model"]["videos"] == 3
    assert measured["model"]["frames"] == sum(len(videos[name]) for name in names[4:])
    assert measured["model"]["chosen"]["f1_micro@50"] == measured["model"]["top1"]["f1@50"]
    # The class "background" is one like any other in training, and left out of segments and edit in a second row.
    without = measured["model"]["chosen"]["without_background"]
    assert without == measured["baselines"]["second_annotator"]["chosen"]["without_background"] | without
    assert measured["baselines"]["constant"]["chosen"]["without_background"]["f1_macro@50"] is not None
    rows = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert sum(row.startswith("test,rhas,model,") for row in rows) == 2
    assert sum("background left out" in row for row in rows if row.startswith("test,")) == 5
    assert "| model, background left out |" in (tmp_path / "run" / "results.md").read_text()
    assert json.loads((tmp_path / "run" / "data.json").read_text())["background"] == ["background"]
    samples = json.loads((tmp_path / "run" / "data.json").read_text())["samples"]
    assert sorted(name.split("/")[0] for name in samples["test"]) == names[4:]
    assert sorted(name.split("/")[0] for name in samples["train"] + samples["val"]) == names[:4]


def test_several_labels_a_frame_are_measured_as_their_works_do_too(tmp_path: Path) -> None:
    actions = [[0, 2.0, 9.0], [156, 0.0, 7.0], [3, 5.0, 12.0]]
    videos = {f"v{i}": ("testing" if i > 3 else "training", 12.0, actions[: 1 + i % 3]) for i in range(6)}
    write_multilabel(tmp_path, videos, dict.fromkeys(videos, 36))
    found = read_multilabel(
        tmp_path / "annotations.json", tmp_path / "features", MultilabelOptions("charades")
    )
    write_dataset(FeaturesFolder(tmp_path / "features-of-ours"), found)
    config = toy_config("data.split=fold", "data.fold=1", "data.proportions=null")
    train(tmp_path / "features-of-ours", tmp_path / "run", config, "cpu")
    measured = evaluate_run(tmp_path / "run", "test", device="cpu")
    assert (measured["model"]["videos"], measured["model"]["frames"]) == (2, 72)
    theirs = measured["dense_detection"]["frame_mAP"]
    assert theirs["above_zero"] == pytest.approx(measured["model"]["frame_mAP"])
    assert theirs["all_classes"] == pytest.approx(theirs["above_zero"] * 3 / 157)
    text = (tmp_path / "run" / "results.md").read_text()
    assert "### As works on dense action detection compute it" in text and "| conditional@20 |" in text
