"""Training: exact resume under SIGKILL, accumulation, selection without the test split, refusals."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_segmenter
import yaml
from recording_callback import Record
from toy_segmenter import Toy, ToyConfig, toy_config, toy_features
from training_folders import damage

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.train.data import SampleSet, collate, load_dataset
from rhas.train.fitting.loop import TrainingError, train_step
from rhas.train.fitting.training import train
from rhas.train.metrics.choosing import Choice
from rhas.train.metrics.readout import ReadOut
from rhas.train.runs.checkpoint import read_tensors


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


def last_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*.safetensors"))


def started(features: Path, run: Path, *overrides: str) -> subprocess.Popen[str]:
    """The same training in a process of its own, which prints a line per step."""
    threads = str(torch.get_num_threads())  # which sums are split among
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(Path(toy_segmenter.__file__).parent), os.environ.get("PYTHONPATH", "")]
        ),
        "OMP_NUM_THREADS": threads,
    }
    command = [sys.executable, toy_segmenter.__file__, str(features), str(run), *overrides]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(("kills", "overrides"), [(3, ()), (1, ("accumulate=2", "workers=1"))])
def test_a_killed_run_ends_with_the_same_bits(
    features: Path, tmp_path: Path, kills: int, overrides: tuple[str, ...]
) -> None:
    config = toy_config("epochs=6", "checkpoint_every=3", *overrides)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    record = Record()
    train(features, alone, config, "cpu", [record])
    in_all = len(record.steps)
    draw = random.Random(len(overrides))
    furthest = 0
    for _ in range(kills):
        with started(features, killed, "epochs=6", "checkpoint_every=3", *overrides) as process:
            assert process.stdout is not None
            for _ in range(draw.randint(1, in_all // 3)):
                furthest = max(furthest, int(process.stdout.readline().split()[1]))
            try:
                process.wait(timeout=draw.random() * 0.04)
            except subprocess.TimeoutExpired:
                process.kill()
            assert process.wait() == -9
    assert furthest < in_all
    resumed = Record()
    train(features, killed, config, "cpu", [resumed])
    assert resumed.begun is not None and resumed.begun[1] == in_all
    for name in ("best.safetensors", last_checkpoint(alone).name):
        one, other = ((run / "checkpoints" / name).read_bytes() for run in (alone, killed))
        assert one == other
    assert not list(killed.rglob("*.tmp"))


def test_a_run_goes_on_within_an_epoch(features: Path, tmp_path: Path) -> None:
    whole, parts = Record(), Record()
    train(features, tmp_path / "whole", toy_config(), "cpu", [whole])
    in_epoch = sum(step.epoch == 1 for step in whole.steps)
    middle = in_epoch + in_epoch // 2
    train(features, tmp_path / "parts", toy_config(f"steps={middle}"), "cpu")
    train(features, tmp_path / "parts", toy_config(), "cpu", [parts])
    assert parts.begun == (middle, len(whole.steps))
    assert parts.steps == whole.steps[middle:]
    ends = [read_tensors(last_checkpoint(tmp_path / run))[0] for run in ("whole", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_accumulation_is_the_larger_batch(features: Path) -> None:
    config = toy_config()
    samples = load_dataset(features, config.data).splits["train"]
    whole = [samples[i] for i in range(7)]
    torch.manual_seed(0)
    one = Toy(6, 2, ToyConfig(noise=0.0))
    other = copy.deepcopy(one)
    steps = []
    for model, groups in ((one, [whole]), (other, [whole[:3], whole[3:6], whole[6:]])):
        optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
        steps.append(train_step(model, optimiser, [collate(group) for group in groups], config, 0))
    assert steps[0][0] == pytest.approx(steps[1][0], rel=1e-6)
    assert steps[0][1] == pytest.approx(steps[1][1], rel=1e-5)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_clipping_limits_the_step(features: Path) -> None:
    config = toy_config("optimiser.clip_norm=0.01")
    samples = load_dataset(features, config.data).splits["train"]
    model = Toy(6, 2, ToyConfig())
    before = [p.detach().clone() for p in model.parameters()]
    _, norm = train_step(
        model, torch.optim.SGD(model.parameters(), lr=1.0), [collate([samples[0]])], config, 0
    )
    moved = torch.cat(
        [(p - b).detach().flatten() for p, b in zip(model.parameters(), before, strict=True)]
    ).norm()
    assert norm > 0.01 and float(moved) == pytest.approx(0.01, rel=1e-3)


def test_training_never_reads_the_test_split(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()

    def spied(original: Any) -> Any:
        def method(self: SampleSet, *arguments: Any) -> Any:
            read.update(window.name for window in self.windows)
            return original(self, *arguments)

        return method

    for name in ("__getitem__", "labels"):
        monkeypatch.setattr(SampleSet, name, spied(getattr(SampleSet, name)))
    config = toy_config()
    train(features, tmp_path / "run", config, "cpu")
    splits = load_dataset(features, config.data).splits
    names = {split: {window.name for window in own.windows} for split, own in splits.items()}
    assert read == names["train"] | names["val"]


def test_the_best_validation_is_kept(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f1 = iter([10.0, 30.0, 30.0, 20.0])

    monkeypatch.setattr(
        "rhas.train.fitting.validation.choose_readout", lambda *_: Choice(ReadOut(), next(f1), ())
    )
    record = Record()
    best = train(features, tmp_path, toy_config("epochs=4", "validate_every=1"), "cpu", [record])
    assert [is_best for _, is_best in record.validations] == [True, True, False, False]
    assert best == record.validations[1][0] and best.epoch == 2
    _, kept = read_tensors(tmp_path / "checkpoints" / "best.safetensors")
    assert kept["validation"]["epoch"] == 2
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 2
    assert list((tmp_path / "logs").glob("events*"))


def test_a_loss_that_is_not_finite_stops_the_run(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, calls = Toy.losses, iter(range(100))

    def broken(self: Toy, batch: Any, generators: Any) -> Any:
        found = losses(self, batch, generators)
        return {**found, "bce": found["bce"] * float("nan")} if next(calls) == 4 else found

    monkeypatch.setattr(Toy, "losses", broken)
    with pytest.raises(TrainingError, match=r"step 5: the loss is bce nan.*samples m\d/[ab]/\d+.*clip_norm"):
        train(features, tmp_path, toy_config(), "cpu")
    tensors, record = read_tensors(last_checkpoint(tmp_path))
    assert record["step"] == 4
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    monkeypatch.setattr(Toy, "losses", losses)
    train(features, tmp_path, toy_config(), "cpu")


def test_another_config_or_other_data_is_refused(features: Path, tmp_path: Path) -> None:
    train(features, tmp_path / "run", toy_config("epochs=1"), "cpu")
    with pytest.raises(InputError, match=r"optimiser\.lr: got '0\.1': expected 0\.05") as caught:
        train(features, tmp_path / "run", toy_config("optimiser.lr=0.1", "settings.noise=0.2"), "cpu")
    assert [problem.column for problem in caught.value.problems] == ["settings.noise", "optimiser.lr"]
    fewer = toy_features(tmp_path / "fewer", movies=3)
    with pytest.raises(InputError, match=r"samples\.train: got '\d+ new, \d+ gone'"):
        train(fewer, tmp_path / "run", toy_config(), "cpu")
    other = toy_features(tmp_path / "other", size=5)
    with pytest.raises(InputError, match="feature_size: got '5': expected 6"):
        train(other, tmp_path / "run", toy_config(), "cpu")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["settings"] == {"noise": 0.1, "bias": True} and config["precision"] == "float32"


def test_two_processes_do_not_train_in_one_folder(features: Path, tmp_path: Path) -> None:
    with started(features, tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline()
        with pytest.raises(
            InputError, match=f"process {process.pid}': expected no other run to be writing here"
        ):
            train(features, tmp_path, toy_config(), "cpu")
        process.kill()
    train(features, tmp_path, toy_config(), "cpu")


def test_bad_data_is_named(tmp_path: Path) -> None:
    features = toy_features(tmp_path / "features")
    with pytest.raises(InputError, match="at least one sample in"):
        train(features, tmp_path / "run", toy_config("data.window=1000", "data.split=cross-movie",
                                                     "data.min_frames=48"), "cpu")  # fmt: skip
    config = toy_config()
    sized = config.replace(data=config.data.replace(feature_size=7))
    with pytest.raises(InputError, match="features of size 7"):
        train(features, tmp_path / "run", sized, "cpu")
    with pytest.raises(InputError, match="takes no weights of classes"):
        train(features, tmp_path / "run", toy_config("balance_classes=true"), "cpu")
    for sample in range(40):
        damage(FeaturesFolder(features), "m0", "a", "holistic", sample)
    with pytest.raises(InputError, match="finite holistic features"):
        train(features, tmp_path / "other", toy_config(), "cpu")
