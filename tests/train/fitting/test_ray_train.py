"""Training with several workers: the same curve as one worker, errors as the user's, refusals, going on."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from recording_callback import Record
from torch import nn
from toy_segmenter import Toy, ToyConfig, toy_config, toy_features
from training_folders import damage

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.train.config import TrainConfig
from rhas.train.data import collate, load_dataset
from rhas.train.fitting.loop import Ranks, Step, train_step
from rhas.train.fitting.training import train
from rhas.train.models.actdiff.config import DecoderConfig, EncoderConfig
from rhas.train.models.hopadiff.config import HopaDIFFConfig
from rhas.train.models.hopadiff.hp_xlstm import HPxLSTMConfig
from rhas.train.models.hopadiff.segmenter import HopaDIFF
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.checkpoint import read_tensors
from rhas.train.runs.run import Validation

# Sums of float32 over other parts, in another order.
RTOL = 1e-5


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


def distributed(
    features: Path,
    out: Path,
    config: TrainConfig,
    record: Record | None = None,
    init_from: Path | None = None,
) -> Validation:
    from rhas.train.fitting.ray_train import train_distributed

    told = [record] if record else []
    return train_distributed(features, out, config, 0, 2, callbacks=told, init_from=init_from)


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(max((run / "checkpoints").glob("step-*.safetensors")))[0]


def same_curve(one: list[Step], other: list[Step]) -> None:
    assert [(step.step, step.epoch) for step in one] == [(step.step, step.epoch) for step in other]
    for a, b in zip(one, other, strict=True):
        assert a.losses == pytest.approx(b.losses, rel=RTOL)
        assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=RTOL)


def test_two_workers_are_one_with_the_doubled_batch(ray_here: None, features: Path, tmp_path: Path) -> None:
    # The last batch leaves the ranks unequal. All begin with the weights of another run.
    first = tmp_path / "first"
    train(features, first, toy_config("epochs=1", "seed=5"), "cpu")
    shared = ("accumulate=2", "optimiser.clip_norm=0.5")
    one, two, rest = Record(), Record(), Record()
    train(features, tmp_path / "one", toy_config("batch=4", *shared), "cpu", [one], init_from=first)
    halfway = len(one.steps) // 2
    distributed(features, tmp_path / "two", toy_config("batch=2", *shared, f"steps={halfway}"), two, first)
    best = distributed(features, tmp_path / "two", toy_config("batch=2", *shared), rest)
    assert rest.begun == (halfway, len(one.steps))
    same_curve(one.steps, two.steps + rest.steps)
    for name, tensor in last_weights(tmp_path / "one").items():
        torch.testing.assert_close(last_weights(tmp_path / "two")[name], tensor, rtol=RTOL, atol=1e-6)
    assert best in [validation for validation, _ in (*two.validations, *rest.validations)]
    assert (tmp_path / "two" / "metrics.json").is_file() and list((tmp_path / "two" / "logs").glob("events*"))
    assert not list((tmp_path / "two").glob(".ray*"))


class Threads(Ranks):
    """Ranks that are threads of this process."""

    def __init__(self, rank: int, ranks: int, barrier: threading.Barrier, values: list[Any]):
        self.rank, self.ranks, self.shares = rank, ranks, ranks
        self._barrier, self._values = barrier, values

    def gathered(self, value: Any) -> list[Any]:
        self._values[self.rank] = value
        self._barrier.wait(20)
        values = list(self._values)
        self._barrier.wait(20)  # nobody writes the next value before all have read this one
        return values

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        for parameter in parameters:
            own = None if parameter.grad is None else parameter.grad.clone()
            there = [gradient for gradient in self.gathered(own) if gradient is not None]
            parameter.grad = torch.stack(there).sum(0) if there else None


SMALL_HOPADIFF = HopaDIFFConfig(
    encoder=EncoderConfig(layers=3, width=8, condition_layers=(0, 2)),
    decoder=DecoderConfig(layers=2, width=8, time_width=8),
    hp_xlstm=HPxLSTMConfig(heads=2),
)


@pytest.mark.parametrize("model", [Toy(6, 2, ToyConfig(noise=0.3)), HopaDIFF(6, 2, SMALL_HOPADIFF)])
def test_two_ranks_are_one_with_the_doubled_batch(features: Path, model: Segmenter) -> None:
    config = toy_config()
    samples = load_dataset(features, config.data, boundary_sigma=1.0).splits["train"]
    # The second step leaves rank 1 without samples.
    parts = [[collate([samples[i] for i in own]) for own in step] for step in ([[0, 1], [2]], [[3, 4]])]
    whole = [collate([samples[i] for i in own]) for own in ([0, 1, 2], [3, 4])]
    barrier, values = threading.Barrier(2), [None, None]

    def steps_of(rank: int | None) -> tuple[list[Any], Segmenter]:
        own = copy.deepcopy(model)
        optimiser = torch.optim.Adam(own.parameters(), lr=0.01)
        ranks = None if rank is None else Threads(rank, 2, barrier, values)
        groups = [[batch] for batch in whole] if rank is None else [part[rank : rank + 1] for part in parts]
        return [train_step(own, optimiser, group, config, i, ranks) for i, group in enumerate(groups)], own

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(steps_of, (0, 1)))
    alone = steps_of(None)
    for steps, own in together:
        for (losses, norm), (expected, expected_norm) in zip(steps, alone[0], strict=True):
            assert losses == pytest.approx(expected, rel=RTOL)
            assert norm == pytest.approx(expected_norm, rel=10 * RTOL)
        if isinstance(model, Toy):  # Adam divides by gradients that may be next to 0
            for tensor, expected_tensor in zip(own.parameters(), alone[1].parameters(), strict=True):
                torch.testing.assert_close(tensor, expected_tensor, rtol=RTOL, atol=1e-6)


def test_an_error_of_a_worker_is_the_users(ray_here: None, tmp_path: Path) -> None:
    features = toy_features(tmp_path / "features")
    for sample in range(40):
        damage(FeaturesFolder(features), "m0", "a", "holistic", sample)
    with pytest.raises(InputError, match="finite holistic features"):
        distributed(features, tmp_path / "run", toy_config())


def test_the_cluster_is_asked_before_waiting(ray_here: None, features: Path, tmp_path: Path) -> None:
    from rhas.train.fitting.ray_train import train_distributed

    with pytest.raises(InputError, match="--gpus: got 1: expected at most 0"):
        train_distributed(features, tmp_path, toy_config(), gpus=1)
    with pytest.raises(InputError, match="--workers: got 3: expected at most 2"):
        train_distributed(features, tmp_path, toy_config(), workers=3)
    with pytest.raises(InputError, match=r"--gpus: got -1(.|\n)*--workers: got 0"):
        train_distributed(features, tmp_path, toy_config(), gpus=-1, workers=0)
    with pytest.raises(
        InputError, match="one of actdiff, actfusion, asformer, asquery, fact, futr, hopadiff, ltcontext"
    ):
        train_distributed(features, tmp_path, toy_config("model=other"))
