"""A linear segmenter, trained in milliseconds, and a program that trains it, to be killed.

python toy_segmenter.py FEATURES OUT [key=value …]    prints a line per step
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from training_folders import labelled_movie, write_training_folder

from rhas.manifests.common.configs import Settings
from rhas.train.config import TrainConfig, config_from_dict, with_overrides
from rhas.train.data import Batch
from rhas.train.data.generators import Generators
from rhas.train.fitting.loop import Callback, Step
from rhas.train.fitting.training import train
from rhas.train.models.registry import register
from rhas.train.models.segmenter import Segmenter


class ToyConfig(Settings):
    noise: float = 0.1
    """Added to the features in training and in prediction."""
    bias: bool = True


class Toy(Segmenter):
    """One linear map of a frame's holistic features."""

    def __init__(self, feature_size: int, classes: int, config: ToyConfig):
        super().__init__()
        self.config = config
        self.linear = nn.Conv1d(feature_size, classes, 1, bias=config.bias)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        noise = generators.normal(batch.holistic_BFT.shape[1])
        logits_BCT = self.linear(batch.holistic_BFT + self.config.noise * noise)
        bce_BT = F.binary_cross_entropy_with_logits(logits_BCT, batch.labels_BCT, reduction="none").mean(1)
        bce_B = (bce_BT * batch.valid_BT).sum(1) / batch.valid_BT.sum(1).clamp(min=1)
        return {"bce": bce_B.mean(), "decay": 1e-3 * self.linear.weight.square().sum()}

    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        scores_BCT = self.linear(batch.holistic_BFT).sigmoid() * batch.mask_BT[:, None]
        return (scores_BCT + 0.05 * generators.uniform(scores_BCT.shape[1])).clamp(max=1)


register("toy", ToyConfig, Toy)


def toy_config(*overrides: str, **settings: Any) -> TrainConfig:
    """Samples of 10 frames, batches of 3, checkpoints within epochs."""
    values: dict[str, Any] = {
        "model": "toy", "data": {"window": 10, "split": "random", "proportions": [6, 2, 2]}, "batch": 3,
        "epochs": 4, "validate_every": 2, "checkpoint_every": 2, "optimiser": {"lr": 0.05},
    }  # fmt: skip
    return with_overrides(config_from_dict({**values, **settings}), overrides)


def toy_features(root: Path, movies: int = 4, size: int = 6) -> Path:
    """A labelled features folder: movies with two persons each, the second without its first second."""
    made = [labelled_movie(f"m{i}", 40 + 3 * i, feature_shape=(size,)) for i in range(movies)]
    write_training_folder(root, made)
    return root


class _Told(Callback):
    def stepped(self, step: Step) -> None:
        print("step", step.step, flush=True)
        time.sleep(0.02)  # so that there is a moment to be killed in


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), toy_config(*sys.argv[3:]), "cpu", [_Told()])
