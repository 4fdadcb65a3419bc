"""Weights of classes, held against counts of the samples themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training_folders import labelled_movie, write_training_folder

from rhas.train.data import DataConfig, load_dataset
from rhas.train.runs.building import balancing_weights


def test_class_weights_balance_the_valid_frames_of_a_split(tmp_path: Path) -> None:
    write_training_folder(tmp_path, [labelled_movie(f"m{i}", samples=50) for i in range(4)])
    train = load_dataset(tmp_path, DataConfig(window=16, split="random")).splits["train"]
    positives, frames = np.zeros(2), 0
    for sample in train:
        positives += sample.labels[sample.valid].numpy().sum(0)
        frames += int(sample.valid.sum())
    np.testing.assert_allclose(
        balancing_weights(train, "softmax"), frames / ((positives + 10) * 2), rtol=1e-6
    )
    np.testing.assert_allclose(
        balancing_weights(train, "sigmoid"), positives.mean() / (positives + 10), rtol=1e-6
    )
