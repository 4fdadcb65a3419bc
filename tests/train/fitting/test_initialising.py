"""Warm starts: what is taken by name, what is refused, and that it happens once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from recording_callback import Record
from toy_segmenter import toy_config, toy_features
from training_folders import intervals_of, labelled_movie, write_training_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary
from rhas.train.config import TrainConfig
from rhas.train.fitting.initialising import initialise, read_source, told
from rhas.train.fitting.training import train
from rhas.train.runs.building import build_for, spec_of
from rhas.train.runs.checkpoint import Checkpoints, read_tensors
from rhas.train.runs.settings import with_model_settings

SMALL = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "diffusion": {"sampling_steps": 2},
}
MODELS = {
    "hopadiff": {**SMALL, "hp_xlstm": {"heads": 2}},
    "actdiff": SMALL,
    "actfusion": SMALL,
    "asformer": {"network": {"decoders": 1, "layers": 2, "width": 8}},
    "asquery": {"network": {"width": 8, "heads": 2, "branch_dilations": [2], "scales": 2}},
    "mstcn": {"network": {"prediction_layers": 2, "refinements": 1, "refinement_layers": 2, "width": 8}},
    "ltcontext": {"network": {"stages": 2, "layers": 2, "width": 8, "window": 8, "long_term_step": 4}},
}
WALK = ("walking", "running", "sitting")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    train(features, out, toy_config("epochs=2"), "cpu")
    return out


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features whose vocabulary is `WALK`, of which the first run knows two, in another order."""
    root = tmp_path_factory.mktemp("others")
    movies = [labelled_movie(f"n{i}", 40 + i) for i in range(4)]
    people = {person.key: intervals_of(movie) for movie in movies for person in movie.persons}
    write_training_folder(root, movies, people)
    write_vocabulary(Vocabulary(WALK), FeaturesFolder(root).actions)
    return root


def best(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "checkpoints" / "best.safetensors")[0]


def nothing_learnt(*overrides: str) -> TrainConfig:
    """A step so small that the weights are those that the run began with, in float32."""
    return toy_config("epochs=1", "validate_every=1", "optimiser.lr=1e-30", *overrides)


def test_the_same_actions_take_everything(features: Path, run: Path, tmp_path: Path) -> None:
    train(features, tmp_path / "a", nothing_learnt(), "cpu", init_from=run)
    assert all(torch.equal(tensor, best(run)[name]) for name, tensor in best(tmp_path / "a").items())
    init = json.loads((tmp_path / "a" / "data.json").read_text())["init"]
    assert init["given"] == str(run) and init["copied"] == ["linear.weight", "linear.bias"]
    assert (init["by_action"], init["fresh"], init["new_actions"]) == ([], [], [])
    step = read_tensors(run / "checkpoints" / "best.safetensors")[1]["validation"]["step"]
    assert f"begins with {run} (step {step}): 2 tensors copied" == told(init)


def test_actions_are_matched_by_name(others: Path, run: Path, tmp_path: Path) -> None:
    train(others, tmp_path / "fresh", nothing_learnt(), "cpu")
    train(others, tmp_path / "warm", nothing_learnt(), "cpu", init_from=run)
    old, fresh, warm = best(run), best(tmp_path / "fresh"), best(tmp_path / "warm")
    for name in ("linear.weight", "linear.bias"):
        assert torch.equal(warm[name][0], old[name][1]) and torch.equal(warm[name][1], old[name][0])
        assert torch.equal(warm[name][2], fresh[name][2])
    init = json.loads((tmp_path / "warm" / "data.json").read_text())["init"]
    assert (init["known_actions"], init["new_actions"]) == (["walking", "running"], ["sitting"])
    assert "2 by action, for 2 of 3 actions; new actions: sitting" in told(init)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_and_takes_classes(model: str, tmp_path: Path) -> None:
    """Scores' parameters for shared actions are equal, whatever their place; all that knows no classes is equal."""
    config = with_model_settings(TrainConfig(model=model, settings=MODELS[model], seed=1))
    old_data = {"feature_size": 6, "actions": ["a", "b", "c", "d"]}
    new_data = {"feature_size": 6, "actions": ["x", "d", "b"]}
    old, new = build_for(config, old_data), build_for(config.replace(seed=2), new_data)
    fresh = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    checkpoints = Checkpoints(tmp_path, spec_of(config, old_data))
    checkpoints.save_best(old, {"validation": {"step": 5}})
    record = initialise(new, config, new_data, read_source(tmp_path / "best.safetensors"))
    assert record["fresh"] == [] and record["by_action"] and record["copied"]
    theirs = old.state_dict()
    for name, tensor in new.state_dict().items():
        ours, other = tensor.numpy(), theirs[name].numpy()
        if name == "class_weight_C":
            continue
        if ours.shape == other.shape:
            np.testing.assert_array_equal(ours, other)
            continue
        (dim,) = [d for d in range(ours.ndim) if ours.shape[d] != other.shape[d]]
        for place, action in enumerate(new_data["actions"]):
            source = fresh[name].numpy() if action == "x" else other
            index = place if action == "x" else old_data["actions"].index(action)
            np.testing.assert_array_equal(ours.take(place, dim), source.take(index, dim))


def test_another_model_or_size_is_refused(features: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column model: got 'toy': expected weights of model actdiff"):
        config = toy_config(model="actdiff", settings=SMALL)
        train(features, tmp_path / "a", config, "cpu", init_from=run)
    wide = toy_features(tmp_path / "wide", size=5)
    with pytest.raises(InputError, match=r"linear\.weight: got \(2, 6, 1\): expected shape \(2, 5, 1\)"):
        train(wide, tmp_path / "b", toy_config(), "cpu", init_from=run)
    with pytest.raises(InputError, match=r"linear\.bias: got 'unknown': expected parameters of the model"):
        train(features, tmp_path / "c", toy_config("settings.bias=false"), "cpu", init_from=run)
    with pytest.raises(InputError, match=r"--init-from: got .*expected a run with a checkpoint"):
        train(features, tmp_path / "d", toy_config(), "cpu", init_from=tmp_path)
    assert not any((tmp_path / name / "config.yaml").exists() for name in "abcd")


def test_a_rerun_goes_on_from_the_same_start(features: Path, run: Path, tmp_path: Path) -> None:
    config, whole, part = toy_config("epochs=2"), tmp_path / "whole", tmp_path / "part"
    source = shutil.copytree(run, tmp_path / "source")
    train(features, whole, config, "cpu", init_from=source)
    train(features, part, toy_config("steps=3"), "cpu", init_from=source)
    record = Record()
    train(
        features, part, toy_config("epochs=2"), "cpu", [record]
    )  # needs no --init-from, nor the source any more
    assert record.begun is not None and record.begun[0] == 3
    ends = [read_tensors(max((out / "checkpoints").glob("step-*")))[0] for out in (whole, part)]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    moved = shutil.copytree(source, tmp_path / "moved")
    train(features, part, toy_config("epochs=2"), "cpu", init_from=moved)  # the same weights elsewhere
    with pytest.raises(InputError, match=r"--init-from: got .*whole'.*expected .*source \(another run needs"):
        train(features, part, toy_config("epochs=2"), "cpu", init_from=whole)
    with pytest.raises(InputError, match="expected nothing, since the run began with fresh weights"):
        train(features, run, toy_config("epochs=2"), "cpu", init_from=whole)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_as_it_did(
    features: Path, run: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(run, tmp_path / "source")
    train(features, tmp_path / "a", toy_config("epochs=2"), "cpu", init_from=source)
    expected = best(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    train(features, tmp_path / "a", toy_config("epochs=2"), "cpu")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in best(tmp_path / "a").items())
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    other = tmp_path / "other"
    train(features, other, toy_config("epochs=2", "seed=3"), "cpu")
    shutil.copyfile(other / "checkpoints" / "best.safetensors", source / "checkpoints" / "best.safetensors")
    with pytest.raises(InputError, match="the weights that the run began with; they were changed"):
        train(features, tmp_path / "a", toy_config("epochs=2"), "cpu")
