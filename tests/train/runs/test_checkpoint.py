"""Checkpoints: whole or not there, only for what they were made for, and no pickles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from rhas.manifests.common.errors import InputError
from rhas.train.runs.checkpoint import BEST, Checkpoints, ModelSpec, read_tensors, write_tensors

SPEC = ModelSpec("toy", {"encoder": {"width": 3}}, 6, ("running", "walking"))


def trained(steps: int = 2) -> tuple[nn.Module, torch.optim.Adam]:
    torch.manual_seed(steps)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    optimiser = torch.optim.Adam(model.parameters())
    for _ in range(steps):
        optimiser.zero_grad()
        model(torch.randn(4, 3)).sum().backward()
        optimiser.step()
    return model, optimiser


def checkpoints(folder: Path, spec: ModelSpec = SPEC) -> Checkpoints:
    made = Checkpoints(folder, spec, keep=2)
    made.prepare()
    return made


def test_all_state_comes_back(tmp_path: Path) -> None:
    model, optimiser = trained()
    checkpoints(tmp_path).save(7, model, optimiser, {"best": None})
    other, other_optimiser = trained(0)
    record = checkpoints(tmp_path).resume(other, other_optimiser)
    assert record is not None and (record["step"], record["best"]) == (7, None)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert optimiser.state[one].keys() == other_optimiser.state[two].keys()
        for key, value in optimiser.state[one].items():
            assert torch.equal(value, other_optimiser.state[two][key])
    assert checkpoints(tmp_path / "none").resume(other, other_optimiser) is None


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    own = checkpoints(tmp_path)
    for step in (9, 10, 11):
        own.save(step, *trained(), {})
    own.save_best(trained()[0], {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"step-00000010.safetensors", "step-00000011.safetensors", BEST}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.zeros(2)}, {})
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        write_tensors(path, {"x": torch.ones(2)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_cleared_and_never_read(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(1, *trained(), {})
    (tmp_path / ".rhas-0123.tmp").write_bytes(b"half")
    own = checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    assert own.resume(*trained(0)) is not None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ModelSpec("hopadiff", SPEC.settings, 6, SPEC.actions), "model: got 'toy': expected hopadiff"),
        (ModelSpec("toy", {"encoder": {"width": 4}}, 6, SPEC.actions), "encoder.width: got '3': expected 4"),
        (ModelSpec("toy", SPEC.settings, 8, SPEC.actions), "feature_size: got '6': expected 8"),
        (ModelSpec("toy", SPEC.settings, 6, ("flying",)), "actions: got '2: running, walking': expected 1: flying"),
    ],
)  # fmt: skip
def test_checkpoints_of_something_else_are_refused(tmp_path: Path, other: ModelSpec, said: str) -> None:
    model, optimiser = trained()
    own = checkpoints(tmp_path)
    own.save(1, model, optimiser, {})
    own.save_best(model, {})
    for load in (lambda c: c.resume(model, optimiser), lambda c: c.load_best(model)):
        with pytest.raises(InputError) as caught:
            load(checkpoints(tmp_path, other))
        assert said in str(caught.value)


def test_parameters_that_do_not_fit_are_named(tmp_path: Path) -> None:
    checkpoints(tmp_path).save_best(nn.Linear(3, 2), {})
    with pytest.raises(InputError, match=r"weight: got \(2, 3\): expected shape \(2, 4\)"):
        checkpoints(tmp_path).load_best(nn.Linear(4, 2))


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\xff" * 64])
def test_damaged_files_are_input_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / BEST
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"best\.safetensors"):
        read_tensors(path)
    with pytest.raises(InputError, match="after its first validation"):
        checkpoints(tmp_path / "none").load_best(nn.Linear(1, 1))
