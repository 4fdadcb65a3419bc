"""`--fold` and `--folds`: they mean split fold, whatever the preset's split is, and nothing beside another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_datasets import write_mstcn
from tiny_config import TINY
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.dataset import write_dataset
from rhas.manifests.imports.mstcn import read_mstcn
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.pipeline.commands.options import of_fold
from rhas.pipeline.commands.train import commands
from rhas.train.config import load_config
from rhas.train.data.splits import sides_of_fold

VIDEOS = {f"v{i}": [0] * 9 + [1] * 12 + [2] * (i + 3) for i in range(6)}
FOLDS = {1: (["v0", "v1", "v2", "v3"], ["v4", "v5"]), 3: (["v2", "v3", "v4", "v5"], ["v0", "v1"])}
SMALL = [
    "settings.network.stages=1",
    "settings.network.layers=1",
    "settings.network.width=8",
    "epochs=1",
    "batch=4",
]


def _invoked(*arguments: object) -> object:
    """What the command raised, or its exit code."""
    result = CliRunner().invoke(commands, [str(argument) for argument in arguments])
    return result.exit_code if result.exception is None else result.exception


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folds")
    write_mstcn(root / "in", VIDEOS, FOLDS)
    write_dataset(FeaturesFolder(root / "features"), read_mstcn(root / "in"))
    return root / "features"


def test_a_fold_alone_is_trained_on(features: Path, tmp_path: Path) -> None:
    assert load_config("ltcontext").data.split == "cross-movie"  # what --fold has to overrule
    settings = [part for setting in SMALL for part in ("--set", setting)]
    found = _invoked(
        "train",
        "--shards",
        features,
        "--out",
        tmp_path / "run",
        "--config",
        "ltcontext",
        "--fold",
        3,
        *settings,
    )
    assert found == 0
    samples = json.loads((tmp_path / "run" / "data.json").read_text())["samples"]
    assert [name.split("/")[0] for name in samples["test"]] == ["v0", "v1"]
    assert sorted(name.split("/")[0] for side in ("train", "val") for name in samples[side]) == [
        "v2",
        "v3",
        "v4",
        "v5",
    ]


@pytest.mark.parametrize("command", ["train", "benchmark"])
def test_a_fold_that_is_not_there_is_refused(features: Path, tmp_path: Path, command: str) -> None:
    which = ["--fold", 7] if command == "train" else ["--folds", "1,7", "--models", "ltcontext"]
    error = _invoked(command, "--shards", features, "--out", tmp_path / "out", *which)
    assert isinstance(error, InputError)
    assert "splits.csv, column fold: got 7: expected one of the folds 1, 3" in str(error)
    assert not list(tmp_path.rglob("cost.json"))


def test_a_fold_beside_another_split_is_refused() -> None:
    with pytest.raises(InputError, match="--fold: got 2: expected no --fold beside --split random"):
        of_fold("--fold", 2, "random", [])
    with pytest.raises(
        InputError, match=r"--folds: got '1,2': expected no --folds beside --set data\.split random"
    ):
        of_fold("--folds", "1,2", "fold", ["data.split=random"])
    assert (
        of_fold("--fold", 2, "fold", ["data.split=fold"])
        == of_fold("--fold", 2, None, [])
        == ["data.split=fold"]
    )
    assert of_fold("--fold", None, "random", []) == of_fold("--folds", "", None, ["data.split=random"]) == []


def test_the_case_of_a_fold_that_was_ignored(tmp_path: Path) -> None:
    case = Path(__file__).parents[3] / "shared" / "cases" / "fold_is_ignored" / "data"
    if not case.is_dir():
        pytest.skip(f"{case} is not here")
    folder = FeaturesFolder(tmp_path / "features")
    write_dataset(folder, read_mstcn(case))
    assert {name for name, side in sides_of_fold(folder, 1).items() if side == "test"} == {"v4", "v5"}
    error = _invoked(
        "train", "--shards", folder.root, "--out", tmp_path / "run", "--config", TINY, "--fold", 7
    )
    assert isinstance(error, InputError) and "got 7: expected one of the folds 1" in str(error)
