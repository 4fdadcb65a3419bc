"""Callbacks of other packages: found by entry point, told how training goes; and the examples of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from recording_callback import Record
from toy_segmenter import toy_config, toy_features

from rhas.manifests.common.errors import InputError
from rhas.train.config import TrainConfig
from rhas.train.fitting.training import train

PAGE = Path(__file__).parents[3] / "docs" / "callbacks.md"
MADE: list[Any] = []


class Kept(Record):
    """An entry point as a package has it: a class that takes the folder and the config."""

    def __init__(self, folder: Path, config: TrainConfig):
        super().__init__()
        self.folder, self.config = folder, config
        MADE.append(self)


def broken(folder: Path, config: TrainConfig) -> Any:
    raise RuntimeError("no login")


def nothing(folder: Path, config: TrainConfig) -> Any:
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_features(tmp_path_factory.mktemp("features"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with entry points, as an installer leaves it."""
    info = tmp_path / "site" / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    names = {
        "kept": "Kept",
        "broken": "broken",
        "nothing": "nothing",
        "wandb": "WandbCallback",
        "mlflow": "MlflowCallback",
    }
    lines = [f"{name} = callbacks_of_others:{value}" for name, value in names.items()]
    (info / "entry_points.txt").write_text("[rhas.callbacks]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(info.parent))
    module = ModuleType("callbacks_of_others")
    vars(module).update(Kept=Kept, broken=broken, nothing=nothing)
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "callbacks_of_others", module)
    MADE.clear()


def test_it_is_told_what_the_others_are(installed: None, features: Path, tmp_path: Path) -> None:
    record = Record()
    config = toy_config("epochs=2", "callbacks=[kept]")
    train(features, tmp_path / "run", config, "cpu", [record])
    (kept,) = MADE
    assert (kept.begun, kept.steps, kept.validations) == (record.begun, record.steps, record.validations)
    assert kept.folder == tmp_path / "run" and kept.config.model == "toy"
    train(features, tmp_path / "run", toy_config("epochs=3"), "cpu")  # without it, the run goes on
    assert len(MADE) == 1


def test_what_can_not_be_made_is_named_before_anything_is_written(
    installed: None, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where it isn't installed
    for name, message in {
        "absent": r"column callbacks: got 'absent': expected one of broken, kept, mlflow, nothing, wandb",
        "broken": r"rhas\.callbacks, column broken: got 'callbacks_of_others:broken'.*RuntimeError: no login",
        "nothing": r"expected what gives a rhas\.train\.fitting\.loop\.Callback",
        "wandb": r"column wandb: got .*import of wandb",
    }.items():
        with pytest.raises(InputError, match=message):
            train(features, tmp_path / "run", toy_config(f"callbacks=[{name}]"), "cpu")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_examples_log_what_a_run_tells(
    installed: None, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins that keep what they are given, in the places of `wandb` and `mlflow`."""
    wandb_rows: list[dict[str, float]] = []
    mlflow_rows: list[tuple[int, dict[str, float]]] = []
    summary: dict[str, float] = {}
    started: list[Any] = []
    run = SimpleNamespace(log=wandb_rows.append, define_metric=lambda *a, **k: None, summary=summary)
    wandb = SimpleNamespace(init=lambda **given: started.append(given) or run)

    def start_run(**given: Any) -> Any:
        started.append(given)
        return SimpleNamespace(info=SimpleNamespace(run_id="run7"))

    mlflow = SimpleNamespace(
        set_experiment=lambda name: None, start_run=start_run, log_dict=lambda values, name: None,
        log_metrics=lambda values, step: mlflow_rows.append((step, values)),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    record = Record()
    config = toy_config("epochs=2", "callbacks=[wandb, mlflow]")
    train(features, tmp_path / "run", config, "cpu", [record])
    steps = [row for row in wandb_rows if "lr" in row]
    assert [(row["step"], row["loss/total"]) for row in steps] == [
        (step.step, step.losses["total"]) for step in record.steps
    ]
    assert [values["loss/bce"] for _, values in mlflow_rows if "lr" in values] == [
        step.losses["bce"] for step in record.steps
    ]
    validation = record.validations[0][0]
    assert wandb_rows[-1]["validation/loss"] == mlflow_rows[-1][1]["validation/loss"] == validation.loss
    assert summary["best/validation/edit"] == validation.edit
    train(features, tmp_path / "run", toy_config("epochs=3", "callbacks=[mlflow]"), "cpu")
    assert started[1]["run_id"] is None and started[2]["run_id"] == "run7"
