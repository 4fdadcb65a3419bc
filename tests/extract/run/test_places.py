"""Weights that aren't where a config says, or not whole: told by file, with what to do, before anything is started."""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import urllib.request
from pathlib import Path

import pytest
import torch

from rhas.extract.config import load_config
from rhas.extract.run.places import check_places
from rhas.extract.run.workers import ModelWorker
from rhas.extract.weights.shipped_weights import FOLDER
from rhas.manifests.common.errors import InputError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


def told(*settings: str) -> list[str]:
    try:
        check_places(load_config("mini", settings))
    except InputError as error:
        return str(error).splitlines()
    return []


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER / "mini" / "encoder", tmp_path / "encoder")


def test_whole_weights_are_not_complained_of(encoder: Path) -> None:
    assert told() == told(f"encoder.weights={encoder}") == []


def test_a_folder_without_tokenizer(encoder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (encoder / name).unlink()
    (line,) = told(f"encoder.weights={encoder}")
    assert f"encoder.weights: got '{encoder}': expected the tokenizer's files" in line


def test_a_worker_looks_on_its_own_node(encoder: Path) -> None:
    """Which may have other files than the machine that starts an extraction on a cluster."""
    (encoder / "tokenizer.json").unlink()
    (encoder / "vocab.txt").unlink(missing_ok=True)
    config = load_config("mini", [f"encoder.weights={encoder}"])
    with pytest.raises(InputError, match="expected the tokenizer's files"):
        ModelWorker(config, 1, "cpu").describe()


def test_a_part_of_the_weights_that_is_missing(encoder: Path) -> None:
    (encoder / "model.safetensors").rename(encoder / "model-1.safetensors")
    parts = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (encoder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (line,) = told(f"encoder.weights={encoder}")
    assert line.startswith(f"{encoder}/model-2.safetensors: expected a part of the weights")


def test_pointers_of_git_lfs(encoder: Path, tmp_path: Path) -> None:
    (encoder / "model.safetensors").write_text(POINTER)
    (tmp_path / "swint.pth").write_text(POINTER)
    lines = told(
        f"encoder.weights={encoder}",
        f"detector.weights={tmp_path}/swint.pth",
        f"detector.text_encoder={encoder}",
    )
    assert [line.split(": expected")[0] for line in lines[:2]] == [
        str(encoder / "model.safetensors"),
        str(tmp_path / "swint.pth"),
    ]
    assert all("git lfs pull" in line for line in lines)


def test_a_fine_tuned_checkpoint_with_its_arguments(encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tuned.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "args": argparse.Namespace(lr=1)}, path)
    (line,) = told(f"detector.weights={path}", f"detector.text_encoder={encoder}")
    assert line.startswith(f"{path}: expected nothing but weights; it also holds argparse.Namespace")
    torch.save({"model": torch.load(path, weights_only=False)["model"]}, path)  # as the message says
    assert told(f"detector.weights={path}", f"detector.text_encoder={encoder}") == []


def test_hub_ids_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def urlopen(request: urllib.request.Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise urllib.request.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    released = tmp_path / "swint.pth"
    torch.save({"model": {}}, released)
    lines = told(
        "encoder.weights=nobody/nothing", f"detector.weights={released}", "detector.text_encoder=nobody-bert"
    )
    assert len(lines) == 2 and len(asked) == 1
    assert "hf download nobody/nothing --local-dir FOLDER" in lines[0] and "--encoder FOLDER" in lines[0]
    assert "--set detector.text_encoder=FOLDER" in lines[1]


@pytest.mark.parametrize("setting", ["detector.weights", "encoder.weights"])
@pytest.mark.parametrize(
    "named", ["./no/where", "./nowhere", "../nowhere", "~/nowhere", "a--b", "a b", "a/b/c"]
)
def test_what_is_neither_a_place_nor_a_hub_id(setting: str, named: str) -> None:
    (line,) = told(f"{setting}={named}")
    assert setting in line and Path(named).name in line and "hub id" in line
