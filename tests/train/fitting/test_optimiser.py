"""The optimiser: rates over the steps, AdamW, averaged weights, and a run with all of it that goes on after a kill."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from recording_callback import Record
from torch import nn
from toy_segmenter import toy_config, toy_features

from rhas.train.fitting.loop import Step, follow_weights, learning_rate, make_optimiser
from rhas.train.fitting.training import train
from rhas.train.runs.checkpoint import below, read_tensors

ALL = (
    "optimiser.average=0.9", "optimiser.schedule=cosine", "optimiser.warmup=2", "optimiser.decoupled=true",
    "optimiser.weight_decay=0.01", "augment.stretch=1.5", "augment.noise=0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_its_sum(decay: float) -> None:
    steps, rng = 30, np.random.default_rng(0)
    path = rng.normal(size=(steps + 1, 3))
    model, average = (nn.Linear(3, 1, bias=False).double() for _ in range(2))
    average.weight.data = torch.tensor(path[:1])
    for k in range(1, steps + 1):
        model.weight.data = torch.tensor(path[k : k + 1])
        follow_weights(average, model, decay, k)
    kept = np.minimum(decay, [k / (k + 9) for k in range(1, steps + 1)])
    # What step k added is kept by all steps behind it.
    left = [np.prod(kept[k:]) for k in range(steps + 1)]
    weights = [left[0], *((1 - kept) * left[1:])]
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(average.weight.detach().numpy()[0], weights @ path, rtol=1e-12)
    if decay == 0.999:  # ∏ k/(k + 9), of which none was cut
        forgotten = math.factorial(9) * math.factorial(steps) / math.factorial(steps + 9)
        assert left[0] == pytest.approx(forgotten)


def test_the_rate_rises_and_falls() -> None:
    config = toy_config("optimiser.lr=0.8", "optimiser.warmup=3")
    rates = [learning_rate(config, step, 13) for step in range(13)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, *[0.8] * 10])
    falling = toy_config("optimiser.lr=0.8", "optimiser.warmup=3", "optimiser.schedule=cosine")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10)
    expected = [0.2, 0.4, 0.6]
    for _ in range(10):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        torchs.step()
    assert [learning_rate(falling, step, 13) for step in range(13)] == pytest.approx(expected)
    assert learning_rate(toy_config(), 0, 13) == learning_rate(toy_config(), 12, 13) == 0.05
    dropping = toy_config("optimiser.drop_after=2")
    assert [learning_rate(dropping, 9, 13, epoch) for epoch in range(4)] == pytest.approx(
        [0.05] * 2 + [0.005] * 2
    )


def test_decoupled_weights_decay_by_themselves() -> None:
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    for decoupled in (False, True):
        model.weight.data = before.clone()
        config = toy_config(
            "optimiser.lr=0.1", "optimiser.weight_decay=0.2", f"optimiser.decoupled={decoupled}"
        )
        model.weight.grad, model.bias.grad = torch.zeros(2, 4), None
        make_optimiser(model, config).step()
        # Without a gradient AdamW shrinks weights by a share, Adam moves each by the rate, whatever its size.
        expected = before * (1 - 0.1 * 0.2) if decoupled else before - 0.1 * before.sign()
        torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-5, atol=1e-5)


class Killed(Exception):
    pass


class KilledAt(Record):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.at = step

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if step.step == self.at:
            raise Killed


def test_a_killed_run_with_all_of_it_ends_with_the_same_bits(features: Path, tmp_path: Path) -> None:
    config, whole, resumed = toy_config("epochs=3", *ALL), Record(), Record()
    train(features, tmp_path / "whole", config, "cpu", [whole])
    for at in (3, 8):
        with pytest.raises(Killed):
            train(features, tmp_path / "killed", config, "cpu", [KilledAt(at)])
    train(features, tmp_path / "killed", config, "cpu", [resumed])
    assert resumed.begun is not None and 0 < resumed.begun[0] < 8
    assert resumed.steps == whole.steps[resumed.begun[0] :]
    files = [sorted((tmp_path / run / "checkpoints").iterdir()) for run in ("whole", "killed")]
    assert [file.name for file in files[0]] == [file.name for file in files[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*files, strict=True))
    # The rates are those of the formula, and what was varied was another thing than the samples as they are.
    rates = [learning_rate(config, step, len(whole.steps)) for step in range(len(whole.steps))]
    assert [step.lr for step in whole.steps] == rates
    as_they_are = Record()
    train(features, tmp_path / "plain", toy_config("epochs=1", *ALL[:5]), "cpu", [as_they_are])
    assert as_they_are.steps[0].losses["bce"] != whole.steps[0].losses["bce"]


def test_the_average_is_what_is_kept(features: Path, tmp_path: Path) -> None:
    config = toy_config("epochs=2", "validate_every=2", "keep_checkpoints=100", "checkpoint_every=1", ALL[0])
    train(features, tmp_path, config, "cpu")
    files = sorted((tmp_path / "checkpoints").glob("step-*"))
    best, _ = read_tensors(tmp_path / "checkpoints" / "best.safetensors")
    steps = [read_tensors(file)[0] for file in files]
    for name, weight in best.items():
        assert torch.equal(weight, steps[-1][f"average/{name}"])
        assert not torch.equal(weight, steps[-1][f"model/{name}"])
        # From one checkpoint to the next as the recursion says.
        for k, (before, after) in enumerate(pairwise(steps), start=2):
            kept = min(0.9, k / (k + 9))
            expected = kept * before[f"average/{name}"] + (1 - kept) * after[f"model/{name}"]
            torch.testing.assert_close(after[f"average/{name}"], expected, rtol=1e-5, atol=1e-6)
    assert below("average/", steps[0]).keys() == best.keys()
